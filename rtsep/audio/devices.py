"""The sound devices of all systems: list them, choose one by name, ask whether it can do what is wanted."""

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


@dataclass(frozen=True)
class DeviceList:
    """The devices as one look at the sound systems has found them. A later look changes nothing here."""

    devices: tuple[Device, ...]  # a JACK server first
    jack: JackServer | None
    defaults: Mapping[str, int]  # device number for "input" and "output", where no JACK server runs; -1: none
    pulse: PulseServer | None = None
    missing: str = ""  # for the user: what would be a better way, if it was installed

    def default(self, kind: str) -> Device | None:
        """Return what `mic` ("input") or the default output is; a running JACK server comes first."""
        found = self._of(kind)
        if found and found[0].is_jack:
            return found[0]
        chosen = next((d for d in found if d.index == self.defaults[kind]), None)
        if chosen or self.pulse:  # a monitor is no microphone, and PortAudio would lead into the same server
            return chosen
        return found[0] if found else None

    def find(self, text: str, kind: str) -> Device:
        """Return the device that `text` names: an index, a name, or a part of one name only.

        Raises `DeviceError` with the nearest names, or with those that are meant equally well.
        """
        found = self._of(kind)
        if text.isdigit():
            for device in found:
                if device.index == int(text):
                    return device
            known = ", ".join(f"{d.index} ({d.name})" for d in found) or "none"
            raise DeviceError(f"no {kind} device has the number {text}; {kind} devices: {known}")
        lower = text.lower()
        exact = [d for d in found if lower in _names(d)]
        part = exact or [d for d in found if any(lower in name for name in _names(d))]
        if len({d.name for d in part}) == 1:
            return part[0]  # one card under several host APIs: the first is the system's preferred one
        if part:
            raise DeviceError(
                f"{kind} device '{text}' is not clear: "
                + ", ".join(f"{d.index} ({d.name}, {d.api})" for d in part)
            )
        names = [d.name for d in found]
        hint = suggest(text, names) or (
            f"; {kind} devices: {', '.join(names)}" if names else f"; there is no {kind} device"
        )
        raise DeviceError(f"no {kind} device is called '{text}'{hint} ('rtsep devices' lists them)")

    def find_again(self, lost: Device, kind: str, before: Collection[str]) -> Device | None:
        """Return `lost` where it is back, by name and system, for "input" or "output"; None while it is not.

        A card of ALSA may come back under another number: then its name is new, none of those `before`.
        """
        there = [d for d in self._of(kind) if d.api == lost.api]
        same = [d for d in there if (d.name, d.system_name) == (lost.name, lost.system_name)] or [
            d for d in there if d.name not in before and _unnumbered(d.name) == _unnumbered(lost.name)
        ]
        return next((d for d in same if d.index == lost.index), same[0] if same else None)

    def _of(self, kind: str) -> list[Device]:
        return [device for device in self.devices if device.channels(kind) > 0]


def look() -> DeviceList:
    """Look at what there is now; raises `DeviceError` where no sound system can be asked."""
    os.environ.setdefault("JACK_NO_START_SERVER", "1")  # looking at devices starts no server
    server, desktop = jack.look(), pulse.look()
    try:
        portaudio.initialise()
    except DeviceError:
        if server is None and desktop is None:
            raise
    return _listed(server, desktop)


def look_at_pulse() -> DeviceList:
    """Look at the sinks and sources of the PulseAudio server only; the list is empty where none answers."""
    server = pulse.look()
    defaults = pulse.defaults_of(server) if server else {"input": -1, "output": -1}
    return DeviceList(tuple(pulse.devices_of(server)), None, defaults, server)


def known() -> DeviceList:
    """Return what the last look of anybody in this program has found; raises `DeviceError`."""
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


def _names(device: Device) -> set[str]:
    """Return the names by which a device is found, in lower case."""
    names = {device.name.lower(), device.system_name.lower()} - {""}
    return names | {"system"} if device.index == JACK else names


def _unnumbered(name: str) -> str:
    return re.sub(r"\(hw:\d+,", "(hw:,", name)


def check_format(device: Device, kind: str, channels: int, rate: int) -> None:
    """Raise `DeviceError` that says what `device` can do, where it cannot do `channels` at `rate`."""
    most = device.channels(kind)
    if channels > most:
        raise DeviceError(
            f"{device.name} has {most} {kind} channel{'s' if most != 1 else ''}, {channels} are needed; "
            f"choose fewer with {'--in-channels' if kind == 'input' else '--out-channels or --out vocals'}"
        )
    backend_of(device).check(device, kind, channels, rate)
