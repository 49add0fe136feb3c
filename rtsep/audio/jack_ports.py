"""A JACK server seen from outside: whether there is one, what it offers, how our ports are called on it."""

from __future__ import annotations

import contextlib
import re
import time
import weakref
from dataclasses import dataclass
from typing import Any

from rtsep.audio import jack_library
from rtsep.dsp.router import BUS, FEEDS
from rtsep.realtime.foreign_calls import one_at_a_time
from rtsep.realtime.forks import in_forks

SIDES = ("L", "R")

PATIENCE_S = 2.0
"""How long a server that runs is asked again if it answers with an error, as it may on a crowded machine."""

_PAUSE_S = 0.1

CAPTURE, PLAYBACK = "capture", "playback"
"""The two kinds of ports of a sound card: those that give sound, and those that take it."""

_DIRECTIONS = {CAPTURE: {"is_output": True}, PLAYBACK: {"is_input": True}}
_CARD_PORTS = {CAPTURE: "^system:(capture|monitor)_", PLAYBACK: "^system:playback_"}
"""PipeWire's further names for its default devices. To it, the ports of a virtual source are a monitor's."""

_OTHER_SIDE = {CAPTURE: "monitor_", PLAYBACK: "input_"}
"""How names begin of what captures a sink, and of what plays into a virtual source: no part of a card."""

PIPEWIRE = ("PipeWire", "no JACK server runs: playing in PipeWire's graph, by its JACK library")
"""Name and note of PipeWire as a server."""


@dataclass(frozen=True)
class JackClient:
    """A program on a server, without the sound card."""

    name: str
    gives: int  # audio ports that our inputs can be connected to
    takes: int  # audio ports that our outputs can be connected to


@dataclass(frozen=True)
class JackServer:
    """What a server says of itself."""

    rate: int  # Hz
    period: int  # frames
    captures: int  # ports of the sound card
    playbacks: int
    name: str = "JACK server"
    note: str = ""  # for the user, about the way to it
    clients: tuple[JackClient, ...] = ()


def open_client(name: str) -> Any:
    """Open a client (a `jack.Client`); the server makes its name unique.

    Raises where there is no server, or where it answers with an error at each try.
    """
    jack = jack_library.load()
    jack.set_error_function(lambda _: None)
    jack.set_info_function(lambda _: None)
    last_try_at = time.monotonic() + PATIENCE_S
    while True:
        began = time.monotonic()
        try:
            # To keep PortAudio away from the server, when it looks, keeps all of the program away.
            with one_at_a_time():
                return jack.Client(name, no_start_server=True)
        except jack.JackOpenError as error:
            if not error.status.server_error or began > last_try_at:
                raise
        time.sleep(_PAUSE_S)


def abandon(client: Any, memory: Any) -> None:
    """Take leave of a client whose server has ended; nothing of it calls us any more.

    `memory` is what its callbacks have worked on; it stays, should one be under way. PipeWire's libjack from
    1.3.81 on frees buffers of connected ports twice when it closes such a client, which aborts the program:
    there the rest of it, two threads at rest, is left behind.
    """
    if not _frees_twice():
        client.close()
        return
    _abandoned.append(memory)
    with contextlib.suppress(Exception):  # that the server has ended
        client.deactivate()
    client._ptr = jack_library.load()._ffi.NULL  # else its deletion would close it


_abandoned: list[Any] = []


def _frees_twice() -> bool:
    version = re.search(r"PipeWire (\d+)\.(\d+)\.(\d+)", str(jack_library.load().version_string()))
    return version is not None and tuple(map(int, version.groups())) >= (1, 3, 81)


_ours: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
"""The clients of this process that play, and their names."""


def keep(client: Any) -> None:
    """Count a client as one of this process: it is no device of its own, and a fork does not close it."""
    _ours[client] = str(client.name)


def _leave_alone() -> None:
    """Let a fork not close the clients of the process that it comes from, as their deletion would."""
    for client in _ours:
        client._ptr = jack_library.load()._ffi.NULL


in_forks(_leave_alone)


def library() -> str:
    """Return the name by which libjack is loaded."""
    return str(jack_library.load()._libname)


def is_pipewire() -> bool:
    """Return whether libjack is PipeWire's."""
    return "PipeWire" in str(jack_library.load().version_string())


def address(of: Any) -> int:
    """Return the address of what a `jack.Client` or one of its ports stands for."""
    jack = jack_library.load()
    return int(jack._ffi.cast("intptr_t", of._ptr))


def find_server() -> JackServer | None:
    """Return the running server, or None where there is none (or no libjack)."""
    if not jack_library.answers():
        return None
    try:
        client = open_client("rtsep-query")
    except Exception:
        return None
    try:
        name, note = PIPEWIRE if is_pipewire() else (JackServer.name, JackServer.note)
        return JackServer(
            int(client.samplerate),
            int(client.blocksize),
            len(card_ports(client, CAPTURE)),
            len(card_ports(client, PLAYBACK)),
            name,
            note,
            _clients_of(client),
        )
    except Exception:  # it has gone meanwhile
        return None
    finally:
        client.close()


def default_ports(client: Any, kind: str) -> list[str]:
    """Return the ports of PipeWire's default source or sink, CAPTURE or PLAYBACK, in their order.

    The device may be hardware or not. Libjack finds it by the names that jackd has for a sound card. Empty
    where there is no such device, and on jackd, where nobody chooses one.
    """
    if not is_pipewire():
        return []
    found = _ports(client, kind, name_pattern=_CARD_PORTS[kind])
    device = found[0].partition(":")[0] if found else ""  # the default one comes first
    return [name for name in found if name.partition(":")[0] == device]


def card_ports(client: Any, kind: str) -> list[str]:
    """Return the ports of the sound card, CAPTURE or PLAYBACK: `default_ports`, else the physical ones."""
    return default_ports(client, kind) or _ports(client, kind, is_physical=True)


def ports_of(client: Any, program: str, kind: str) -> list[str]:
    """Return the ports of a program that stand for those of a sound card, CAPTURE or PLAYBACK."""
    found = client.get_ports(name_pattern=f"^{re.escape(program)}:", is_audio=True, **_DIRECTIONS[kind])
    return [str(port.name) for port in found]


def _ports(client: Any, kind: str, **which: Any) -> list[str]:
    """Return the ports of devices that fit, but those of the other side of a device."""
    found = [str(port.name) for port in client.get_ports(is_audio=True, **_DIRECTIONS[kind], **which)]
    return [name for name in found if not name.partition(":")[2].startswith(_OTHER_SIDE[kind])]


def _clients_of(asking: Any) -> tuple[JackClient, ...]:
    """Return the programs with audio ports, by name; not the sound card, nor clients of this process."""
    hidden = {port.name.partition(":")[0] for port in asking.get_ports(is_audio=True, is_physical=True)}
    hidden |= set(_ours.values())
    counts: dict[str, list[int]] = {}
    for k, direction in enumerate(({"is_output": True}, {"is_input": True})):
        for port in asking.get_ports(is_audio=True, **direction):
            name = port.name.partition(":")[0]
            if name not in hidden:
                counts.setdefault(name, [0, 0])[k] += 1
    return tuple(JackClient(name, *counts[name]) for name in sorted(counts))


def output_names(out_map: tuple[int, ...], channels: int, bus: str) -> list[str]:
    """Return a port name for each device channel: `vocals_L`, `instrumental_R`, `mix_3`, `silence_1`.

    The ports of the stereo bus are named for `bus`, the feed that it begins with.
    """
    names: list[str] = []
    for device, source in enumerate(out_map):
        if source < 0:
            names.append(f"silence_{device + 1}")
            continue
        feed, channel = FEEDS[source // channels], source % channels
        if source // channels == BUS:
            feed = bus
        # One channel on both sides of a pair: the first place is the left one.
        side = out_map[:device].count(source) if channels == 1 else channel
        name = f"{feed}_{SIDES[side]}" if channels <= 2 and side < 2 else f"{feed}_{channel + 1}"
        names.append(name if name not in names else f"{name}_{device + 1}")
    return names
