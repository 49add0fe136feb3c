"""Sound: servers and the bridges to them, the default devices, cards that one program holds."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from rtsep.doctor.finding import Finding, note, ok, problem
from rtsep.errors import DeviceError

ROOT = Path("/")
SERVERS = ("pipewire", "pipewire-pulse", "pulseaudio", "jackd", "jackdbus", "wireplumber")
_LIBRARIES = ("usr/lib", "usr/lib64", "usr/local/lib", "lib", "usr/lib/*-linux-gnu*", "lib/*-linux-gnu*")
_LEADS_TO_SERVER = ("default", "pulse", "pipewire")
"""Names of ALSA devices that are no card where a server runs."""


class Device(Protocol):
    """What is asked of a device; `rtsep.audio.backend.Device` is one."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def api(self) -> str:
        """The system that it belongs to."""

    @property
    def rate(self) -> int:
        """Its sample rate, Hz."""


class Defaults(NamedTuple):
    """The devices that 'mic' and the default output stand for; None where there is none."""

    mic: Device | None
    out: Device | None


def look() -> Defaults:
    """Return the default devices of this machine; raises `DeviceError`."""
    from rtsep.audio import devices  # loads PortAudio

    there = devices.look()
    return Defaults(there.default("input"), there.default("output"))


def servers(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the sound servers whose sockets this user has: "PipeWire", "PulseAudio"."""
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    pipewire = environment.get("PIPEWIRE_RUNTIME_DIR") or runtime
    pulse = environment.get("PULSE_RUNTIME_PATH") or (runtime and f"{runtime}/pulse")
    found = []
    if pipewire and (Path(pipewire) / environment.get("PIPEWIRE_REMOTE", "pipewire-0")).exists():
        found.append("PipeWire")
    if pulse and (Path(pulse) / "native").exists():
        found.append("PulseAudio")
    return found


def default_devices(find: Callable[[], Defaults], there: list[str]) -> list[Finding]:
    """Check the default devices: whether they are there, agree on a rate, and how they are reached.

    `there` are the servers that run.
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
                "connect one or start the sound server; 'rtsep devices' lists what there is",
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
            f"{mic.name} has {mic.rate} Hz, {out.name} {out.rate} Hz: converting adds latency and work",
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
            "install the package that reaches the server directly (pipewire-jack, or libpulse0), or name a "
            "card with --out-device; else try --slack 512",
        )
    ]


def bridges(there: list[str], root: Path = ROOT) -> list[Finding]:
    """Check for the libraries through which programs reach the servers `there`."""
    found = []
    if "PipeWire" in there:
        found.append(
            _bridge(
                root, "PipeWire's JACK library", ("pipewire-0.3/jack/libjack.so*", "libjack.so.0.3*"),
                "the shortest way to PipeWire is not there", "install the package pipewire-jack",
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
            "programs that know ALSA alone take the card away from the server",
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
    """Check for sound cards that one program holds for itself."""
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
                    f"'{program}' (process {pid}) holds it for itself",
                    f"end {program}, or have it play through the sound server",
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
