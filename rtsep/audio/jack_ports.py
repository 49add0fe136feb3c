"""The JACK server seen from outside: its existence, its ports, and the names of rtsep's ports on it."""

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
"""Time in seconds during which a server that answers with an error is asked again, as on a busy machine."""

_PAUSE_S = 0.1

CAPTURE, PLAYBACK = "capture", "playback"
"""Kinds of ports of a sound card: sources of audio, and destinations."""

_DIRECTIONS = {CAPTURE: {"is_output": True}, PLAYBACK: {"is_input": True}}
_CARD_PORTS = {CAPTURE: "^system:(capture|monitor)_", PLAYBACK: "^system:playback_"}
"""PipeWire's aliases of its default devices. It treats the ports of a virtual source as a monitor's."""

_OTHER_SIDE = {CAPTURE: "monitor_", PLAYBACK: "input_"}
"""Prefixes of ports that capture a sink or feed a virtual source; they do not belong to a card."""

CALLS = "calls to JACK"
"""Kind of the calls of which one that hangs is enough, see `within`."""

PIPEWIRE = ("PipeWire", "no JACK server is running: playing in PipeWire's graph, through its JACK library")
"""Name and note of PipeWire as a server."""


@dataclass(frozen=True)
class JackClient:
    """Program on a server, apart from the sound card."""

    name: str
    gives: int  # audio ports that rtsep's inputs can be connected to
    takes: int  # audio ports that rtsep's outputs can be connected to


@dataclass(frozen=True)
class JackServer:
    """Properties of a server."""

    rate: int  # Hz
    period: int  # frames
    captures: int  # ports of the sound card
    playbacks: int
    name: str = "JACK server"
    note: str = ""  # for the user, about the connection to it
    clients: tuple[JackClient, ...] = ()


def open_client(name: str) -> Any:
    """Open a client (a `jack.Client`); the server makes its name unique.

    Raise an error if there is no server, or if every attempt fails.
    """
    jack = jack_library.load()
    jack.set_error_function(lambda _: None)
    jack.set_info_function(lambda _: None)
    last_try_at = time.monotonic() + PATIENCE_S
    while True:
        began = time.monotonic()
        try:
            # Keeping PortAudio away from the server during its search keeps the whole program away.
            with one_at_a_time():
                return jack.Client(name, no_start_server=True)
        except jack.JackOpenError as error:
            if not error.status.server_error or began > last_try_at:
                raise
        time.sleep(_PAUSE_S)


def abandon(client: Any, memory: Any) -> None:
    """Abandon a client whose server has ended, so that nothing of it calls rtsep any more.

    `memory` is the data of its callbacks; it stays in case one is running. PipeWire's libjack from 1.3.81 on
    frees buffers of connected ports twice when it closes such a client, which aborts the program; there the
    rest of the client, two idle threads, is leaked.
    """
    if not _frees_twice():
        client.close()
        return
    _abandoned.append(memory)
    with contextlib.suppress(Exception):  # the server has ended
        client.deactivate()
    client._ptr = jack_library.load()._ffi.NULL  # else its deletion would close it


_abandoned: list[Any] = []


def _frees_twice() -> bool:
    version = re.search(r"PipeWire (\d+)\.(\d+)\.(\d+)", str(jack_library.load().version_string()))
    return version is not None and tuple(map(int, version.groups())) >= (1, 3, 81)


_ours: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
"""Playing clients of this process, with their names."""


def keep(client: Any) -> None:
    """Mark a client as part of this process: it is not listed as a device, and a fork does not close it."""
    _ours[client] = str(client.name)


def _leave_alone() -> None:
    """Prevent a fork from closing its parent's clients, which their deletion would do."""
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
    """Return the address of the C object behind a `jack.Client` or one of its ports."""
    jack = jack_library.load()
    return int(jack._ffi.cast("intptr_t", of._ptr))


def find_server() -> JackServer | None:
    """Return the running server, or None if there is none (or no libjack)."""
    if not jack_library.answers():
        return None
    try:
        client = open_client("rtsep-query")
    except Exception:
        return None
    try:
        name, note = PIPEWIRE if is_pipewire() else (JackServer.name, JackServer.note)
        return JackServer(
            rate=int(client.samplerate),
            period=int(client.blocksize),
            captures=len(card_ports(client, CAPTURE)),
            playbacks=len(card_ports(client, PLAYBACK)),
            name=name,
            note=note,
            clients=_clients_of(client),
        )
    except Exception:  # it has ended meanwhile
        return None
    finally:
        client.close()


def default_ports(client: Any, kind: str) -> list[str]:
    """Return the ports of PipeWire's default source or sink, CAPTURE or PLAYBACK, in their order.

    The device need not be hardware. Libjack finds it by jackd's names for a sound card. The list is empty if
    there is no such device, and on jackd, which has no default device.
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
    """Return the ports of a program that replace those of a sound card, CAPTURE or PLAYBACK."""
    found = client.get_ports(name_pattern=f"^{re.escape(program)}:", is_audio=True, **_DIRECTIONS[kind])
    return [str(port.name) for port in found]


def _ports(client: Any, kind: str, **which: Any) -> list[str]:
    """Return matching ports of devices, without ports of a device's other side."""
    found = [str(port.name) for port in client.get_ports(is_audio=True, **_DIRECTIONS[kind], **which)]
    return [name for name in found if not name.partition(":")[2].startswith(_OTHER_SIDE[kind])]


def _clients_of(asking: Any) -> tuple[JackClient, ...]:
    """Return the programs with audio ports, by name, without the sound card and this process's clients."""
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

    The ports of the stereo bus are named after `bus`, its initial feed.
    """
    names: list[str] = []
    for device, source in enumerate(out_map):
        if source < 0:
            names.append(f"silence_{device + 1}")
            continue
        feed, channel = FEEDS[source // channels], source % channels
        if source // channels == BUS:
            feed = bus
        # One channel on both sides of a pair: the first position is the left one.
        side = out_map[:device].count(source) if channels == 1 else channel
        name = f"{feed}_{SIDES[side]}" if channels <= 2 and side < 2 else f"{feed}_{channel + 1}"
        names.append(name if name not in names else f"{name}_{device + 1}")
    return names
