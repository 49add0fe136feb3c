"""Virtual devices on a PulseAudio server: a sink that captures players, and a microphone.

All calls go through a connected `pulsectl.Pulse`. A role marks rtsep's devices, so that they differ from
others of the same name, and can be removed after a session was killed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from rtsep.audio.pulse_server import MONITOR_SUFFIX, succeeds
from rtsep.errors import DeviceError

PLAYERS, VOICE = "players", "voice"
"""Roles of the virtual devices."""

SINK, SINK_TITLE = "rtsep", "rtsep (what plays)"
VOICE_SINK, VOICE_SINK_TITLE = "rtsep_voice", "rtsep (into the virtual microphone)"
VOICE_SOURCE, VOICE_TITLE = "rtsep_microphone", "rtsep voice"
OUR_SINKS = (SINK, VOICE_SINK)
OUR_SOURCES = (SINK + MONITOR_SUFFIX, VOICE_SINK + MONITOR_SUFFIX, VOICE_SOURCE)

_MARK = "rtsep.role"
_APPEARS_S = 3.0
_LOOK_S = 0.02


def make_sink_for_players(
    pulse: Any, rate: int, begin: Callable[[str, str, dict[str, str]], bool] | None
) -> None:
    """Create the sink that captures players, if it is missing; `rate` is a null sink's, in Hz.

    `begin` gets its name, title and properties, and starts to create it in another way; if that is None, or
    fails and returns False, a null sink is created. Raise `DeviceError`.
    """
    there = _there(pulse.sink_list(), "sink", SINK, PLAYERS)
    if begin and not there and begin(SINK, SINK_TITLE, {_MARK: PLAYERS}):
        with contextlib.suppress(DeviceError):  # a null sink does not report its latency, but it works
            _await_sink(pulse, SINK, SINK_TITLE)
    load_sink(pulse, SINK, SINK_TITLE, PLAYERS, rate)


def _await_sink(pulse: Any, name: str, title: str) -> None:
    _await(lambda: _named(pulse.sink_list(), name), title)
    _await(lambda: _named(pulse.source_list(), name + MONITOR_SUFFIX), title)


def load_sink(pulse: Any, name: str, title: str, role: str, rate: int) -> None:
    """Create a stereo sink that feeds only its monitor, if it is missing.

    `rate` is in Hz. Raise `DeviceError`.
    """
    made = _load(
        pulse, "sink", name, title, role, "module-null-sink",
        f"format=float32le rate={rate} channels=2 channel_map=front-left,front-right",
    )  # fmt: skip
    if made:
        _await_sink(pulse, name, title)


def load_microphone(pulse: Any, rate: int) -> None:
    """Create the virtual microphone and the sink behind it, if they are missing; `rate` is in Hz.

    Raise `DeviceError`.
    """
    load_sink(pulse, VOICE_SINK, VOICE_SINK_TITLE, VOICE, rate)
    _load(
        pulse, "source", VOICE_SOURCE, VOICE_TITLE, VOICE, "module-remap-source",
        f"master={VOICE_SINK}{MONITOR_SUFFIX}",
    )  # fmt: skip


def _load(pulse: Any, kind: str, name: str, title: str, role: str, module: str, arguments: str) -> bool:
    """Create a device by a module, if it is missing; return whether it was. `kind` is "sink" or "source".

    Raise `DeviceError` if another program has a device of that name.
    """
    listed = pulse.sink_list if kind == "sink" else pulse.source_list
    if _there(listed(), kind, name, role):
        return False
    properties = f'device.description="{title}" {_MARK}="{role}"'
    pulse.module_load(module, f"{kind}_name={name} {arguments} {kind}_properties='{properties}'")
    _await(lambda: _named(listed(), name), title)
    return True


def unload(pulse: Any, role: str) -> bool:
    """Remove the devices with this role; return whether there were any."""
    ends = [*pulse.source_list(), *pulse.sink_list()]  # a source before the sink behind it
    modules = {end.owner_module: None for end in ends if end.proplist.get(_MARK) == role}
    for module in modules:
        succeeds(pulse.module_unload, module)  # it may have disappeared meanwhile
    return bool(modules)


def _there(ends: list[Any], kind: str, name: str, role: str) -> bool:
    """Return whether a device `name` exists; raise `DeviceError` if it belongs to another program."""
    there = _named(ends, name)
    if there is not None and there.proplist.get(_MARK) != role:
        raise DeviceError(f"there is already a {kind} '{name}' that is not rtsep's; remove or rename it")
    return there is not None


def _named(ends: list[Any], name: str) -> Any:
    return next((end for end in ends if end.name == name), None)


def _await(there: Callable[[], Any], title: str) -> None:
    """Wait for a device, which PipeWire creates after its answer; raise `DeviceError` on timeout."""
    over = time.monotonic() + _APPEARS_S
    while not there():
        if time.monotonic() > over:
            raise DeviceError(f"the sound server has not created '{title}'; restart the server")
        time.sleep(_LOOK_S)
