"""Sound: servers and the libraries for them, the default devices, cards in exclusive use."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from rtsep import folders
from rtsep.doctor.finding import Finding, note, ok, problem
from rtsep.errors import DeviceError

ROOT = Path("/")
SERVERS = ("pipewire", "pipewire-pulse", "pulseaudio", "jackd", "jackdbus", "wireplumber")
_LIBRARIES = ("usr/lib", "usr/lib64", "usr/local/lib", "lib", "usr/lib/*-linux-gnu*", "lib/*-linux-gnu*")
_LEADS_TO_SERVER = ("default", "pulse", "pipewire")
"""Names of ALSA devices that lead to a running server, not to a card."""


class Device(Protocol):
    """Attributes of a device that the checks need; `rtsep.audio.backend.Device` has them."""

    @property
    def name(self) -> str:
        """Return its name."""

    @property
    def api(self) -> str:
        """Return its system."""

    @property
    def rate(self) -> int:
        """Return its sample rate in Hz."""


class Defaults(NamedTuple):
    """Devices behind 'mic' and the default output; None if missing."""

    mic: Device | None
    out: Device | None


def look() -> Defaults:
    """Return the default devices of this machine; raise `DeviceError`."""
    from rtsep.audio import devices  # loads PortAudio

    there = devices.look()
    return Defaults(there.default("input"), there.default("output"))


def servers(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the sound servers with sockets of this user: "PipeWire", "PulseAudio"."""
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    pipewire = environment.get("PIPEWIRE_RUNTIME_DIR") or runtime
    pulse = environment.get("PULSE_RUNTIME_PATH") or (runtime and f"{runtime}/pulse")
    found = []
    if pipewire and folders.is_reachable(Path(pipewire) / environment.get("PIPEWIRE_REMOTE", "pipewire-0")):
        found.append("PipeWire")
    if pulse and folders.is_reachable(Path(pulse) / "native"):
        found.append("PulseAudio")
    return found


def runtime_folder(environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Check that the folder of the sockets can be reached; `su` keeps the name of another user's."""
    folder = environment.get("XDG_RUNTIME_DIR", "")
    if not folder or not hasattr(os, "geteuid"):
        return []
    name, user = "runtime folder", os.geteuid()
    try:
        if Path(folder).stat().st_uid == user or os.access(folder, os.X_OK):
            return []
        seen = f"{folder} belongs to another user"
    except FileNotFoundError:
        return []
    except OSError as error:
        seen = f"{folder} cannot be reached ({error.strerror})"
    remedy = f"set XDG_RUNTIME_DIR to /run/user/{user}, or log in as this user instead of using 'su'"
    return [problem(name, f"{seen}: no sound server is found there", remedy)]


def default_devices(find: Callable[[], Defaults], there: list[str]) -> list[Finding]:
    """Check that the default devices exist and share a rate, and how they are reached.

    `there` are the running servers.
    """
    try:
        defaults = find()
    except DeviceError as error:
        return [problem("sound devices", str(error), "see the section 'System libraries' of docs/install.md")]
    found = []
    if defaults.out is None:
        found.append(
            problem(
                "sound devices",
                "there is no output device",
                "connect one or start the sound server; 'rtsep devices' lists the devices",
            )
        )
    else:
        mic = defaults.mic.name if defaults.mic else "no input device"
        found.append(ok("sound devices", f"{mic} -> {defaults.out.name}"))
    return found + _rates(defaults) + _through_server(defaults, there)


def _rates(defaults: Defaults) -> list[Finding]:
    name, mic, out = "sample rates", defaults.mic, defaults.out
    if mic is None or out is None:
        return []
    if mic.rate == out.rate:
        return [ok(name, f"{mic.rate} Hz in and out")]
    return [
        problem(
            name,
            f"{mic.name} runs at {mic.rate} Hz, {out.name} at {out.rate} Hz: conversion adds latency "
            "and work",
            f"set both to one rate in the system's sound settings, or try --rate {out.rate}",
        )
    ]


def _through_server(defaults: Defaults, there: list[str]) -> list[Finding]:
    name, out = "way to the default output", defaults.out
    if out is None or not there:
        return []
    if out.api != "ALSA" or out.name.lower() not in _LEADS_TO_SERVER:
        return [ok(name, f"{out.name}, by {out.api}")]
    return [
        problem(
            name,
            f"ALSA's device '{out.name}' leads to {there[0]}, which calls in bursts",
            "install the package that reaches the server directly (pipewire-jack, or libpulse0), or choose a "
            "card with --out-device; else try --slack 512",
        )
    ]


def bridges(there: list[str], root: Path = ROOT) -> list[Finding]:
    """Check for the libraries that reach the servers `there`."""
    found = []
    if "PipeWire" in there:
        found.append(
            _bridge(
                root, "PipeWire's JACK library", ("pipewire-0.3/jack/libjack.so*", "libjack.so.0.3*"),
                "the shortest path to PipeWire is not installed", "install the package pipewire-jack",
            )
        )  # fmt: skip
    elif "PulseAudio" in there:
        found.append(
            _bridge(
                root, "PulseAudio's library", ("libpulse.so.0*",),
                "PulseAudio cannot be reached directly", "install the package libpulse0",
            )
        )  # fmt: skip
    if there:
        bridge = _bridge(
            root, "ALSA's plugin for the server",
            ("alsa-lib/libasound_module_pcm_pulse.so", "alsa-lib/libasound_module_pcm_pipewire.so"),
            "programs that use only ALSA take the card away from the server",
            "install the package pipewire-alsa or libasound2-plugins",
        )  # fmt: skip
        found.append(bridge if bridge.state == "ok" else note(bridge.name, bridge.seen, bridge.remedy))
    return found


def _bridge(root: Path, name: str, files: tuple[str, ...], loss: str, remedy: str) -> Finding:
    for folder in _LIBRARIES:
        for file in files:
            for path in root.glob(f"{folder}/{file}"):
                return ok(name, f"/{path.relative_to(root)}")
    return problem(name, loss, remedy)


def exclusive(root: Path = ROOT) -> list[Finding]:
    """Check for sound cards in exclusive use by one program."""
    held: dict[tuple[str, str], str] = {}
    for status in sorted((root / "proc/asound").glob("card*/pcm*/sub*/status")):
        owner = re.search(r"^owner_pid\s*:\s*(\d+)", _text(status), re.MULTILINE)
        if owner is None:
            continue
        card = status.relative_to(root / "proc/asound").parts[0]
        program = _text(root / "proc" / owner[1] / "comm") or "?"
        held[card, program] = owner[1]
    if not held:
        return []
    found = []
    for (card, program), pid in held.items():
        label = _text(root / "proc/asound" / card / "id") or card
        if program in SERVERS or program.startswith("pw-data"):
            found.append(ok(f"card {label}", f"in use by the server {program}"))
        else:
            found.append(
                problem(
                    f"card {label}",
                    f"'{program}' (process {pid}) uses it exclusively",
                    f"end {program}, or let it play through the sound server",
                )
            )
    return found


def midi(installed: Callable[[str], object] = importlib.util.find_spec) -> list[Finding]:
    """Check for the library of MIDI ports."""
    if installed("rtmidi"):
        return [ok("MIDI", "python-rtmidi is installed")]
    return [note("MIDI", "python-rtmidi is not installed: --midi has no ports", "pip install 'rtsep[midi]'")]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
