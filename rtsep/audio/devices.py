"""The sound devices of all systems: list them, select one by name, check its format."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from rtsep.audio import portaudio
from rtsep.audio.backend import JACK as JACK
from rtsep.audio.backend import Device as Device
from rtsep.audio.backends import BACKENDS, backend_of, jack, pulse
from rtsep.audio.jack_ports import JackServer
from rtsep.audio.pulse_server import PulseServer
from rtsep.errors import DeviceError, suggest

_MOST_DIGITS = 9  # of a device's number


@dataclass(frozen=True)
class DeviceList:
    """Devices found by one search of the sound systems. A later search does not change this object."""

    devices: tuple[Device, ...]  # the JACK server comes first
    jack: JackServer | None
    defaults: Mapping[str, int]  # device number for "input" and "output" without a JACK server; -1: none
    pulse: PulseServer | None = None
    missing: str = ""  # line for the user about a better, but missing library

    def default(self, kind: str) -> Device | None:
        """Return the default microphone ("input") or output; a running JACK server takes precedence."""
        found = self._of(kind)
        if found and found[0].is_jack:
            return found[0]
        chosen = next((d for d in found if d.index == self.defaults[kind]), None)
        if chosen or self.pulse:  # a monitor is not a microphone, and PortAudio would reach the same server
            return chosen
        return found[0] if found else None

    def find(self, text: str, kind: str) -> Device:
        """Return the device for `text`: a number, a name, or an unambiguous part of a name.

        Raise `DeviceError` with the nearest names, or with the names that match equally well.
        """
        found, part = self._of(kind), self.matches(text, kind)
        if _is_number(text):
            if part:
                return part[0]
            known = ", ".join(f"{d.index} ({d.name})" for d in found) or "none"
            raise DeviceError(f"no {kind} device has the number {text}; the {kind} devices are {known}")
        if len({d.name for d in part}) == 1:
            return part[0]  # one card under several host APIs: the first is the system's preferred one
        if part:
            raise DeviceError(
                f"{kind} device '{text}' is ambiguous; give a longer part of the name: "
                + ", ".join(f"{d.index} ({d.name}, {d.api})" for d in part)
            )
        names = [d.name for d in found]
        hint = suggest(text, names) or (
            f"; {kind} devices: {', '.join(names)}" if names else f"; there is no {kind} device"
        )
        raise DeviceError(f"no {kind} device is called '{text}'{hint} ('rtsep devices' lists them)")

    def matches(self, text: str, kind: str) -> list[Device]:
        """Return the devices with the number `text`, with this name, or with it as a part of their name."""
        found, lower = self._of(kind), text.lower()
        if _is_number(text):
            return [d for d in found if d.index == int(text)]
        exact = [d for d in found if lower in _names(d)]
        return exact or [d for d in found if any(lower in name for name in _names(d))]

    def find_again(self, lost: Device, kind: str, before: Collection[str]) -> Device | None:
        """Return `lost`, found by name and system as "input" or "output"; None if it is not back.

        A card of ALSA can come back under another number; its name is then new, not one of `before`.
        """
        there = [d for d in self._of(kind) if d.api == lost.api]
        same = [d for d in there if (d.name, d.system_name) == (lost.name, lost.system_name)] or [
            d for d in there if d.name not in before and _unnumbered(d.name) == _unnumbered(lost.name)
        ]
        return next((d for d in same if d.index == lost.index), same[0] if same else None)

    def _of(self, kind: str) -> list[Device]:
        return [device for device in self.devices if device.channels(kind) > 0]


def look() -> DeviceList:
    """Search the sound systems; raise `DeviceError` if none answers."""
    os.environ.setdefault("JACK_NO_START_SERVER", "1")  # a search starts no server
    server, desktop = jack.look(), pulse.look()
    try:
        portaudio.initialise()
    except DeviceError:
        if server is None and desktop is None:
            raise
    return _listed(server, desktop)


def look_at_pulse() -> DeviceList:
    """Search only the sinks and sources of the PulseAudio server; the list is empty if none answers."""
    server = pulse.look()
    defaults = pulse.defaults_of(server) if server else {"input": -1, "output": -1}
    return DeviceList(devices=tuple(pulse.devices_of(server)), jack=None, defaults=defaults, pulse=server)


def known() -> DeviceList:
    """Return the result of the last search in this program; raise `DeviceError`."""
    return _listed(jack.server, pulse.server)


def _listed(server: JackServer | None, desktop: PulseServer | None) -> DeviceList:
    others = [backend for backend in BACKENDS.values() if backend not in (jack, pulse)]
    if desktop:
        defaults = pulse.defaults_of(desktop)
    else:
        defaults = {kind: portaudio.default_index(kind) for kind in ("input", "output")}
    return DeviceList(
        devices=(
            *jack.devices_of(server),
            *pulse.devices_of(desktop),
            *(device for backend in others for device in backend.devices()),
        ),
        jack=server,
        defaults=defaults,
        pulse=desktop,
        missing=jack.missing,
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS


def _names(device: Device) -> set[str]:
    """Return the accepted names of a device, in lower case."""
    names = {device.name.lower(), device.system_name.lower()} - {""}
    return names | {"system"} if device.index == JACK else names


def _unnumbered(name: str) -> str:
    return re.sub(r"\(hw:\d+,", "(hw:,", name)


def check_format(device: Device, kind: str, channels: int, rate: int) -> None:
    """Raise `DeviceError` with the device's abilities if `device` cannot do `channels` at `rate`."""
    available = device.channels(kind)
    if channels > available:
        raise DeviceError(
            f"{device.name} has {available} {kind} channel{'s' if available != 1 else ''}, "
            f"but {channels} are needed; "
            f"choose fewer with {'--in-channels' if kind == 'input' else '--out-channels or --out vocals'}"
        )
    backend_of(device).check(device, kind, channels, rate)
