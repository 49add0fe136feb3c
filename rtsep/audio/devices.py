"""The sound devices of all systems: list them, choose one by name, ask whether it can do what is wanted."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from rtsep.audio import portaudio
from rtsep.audio.backend import JACK as JACK
from rtsep.audio.backend import Device as Device
from rtsep.audio.backends import BACKENDS, backend_of, jack
from rtsep.audio.jack_ports import JackServer
from rtsep.errors import DeviceError, suggest


def look() -> None:
    """Look at what there is now; raises `DeviceError` where no sound system can be asked."""
    os.environ.setdefault("JACK_NO_START_SERVER", "1")  # looking at devices starts no server
    jack.look()
    try:
        portaudio.initialise()
    except DeviceError:
        if jack.server is None:
            raise


def jack_server() -> JackServer | None:
    """Return the JACK server as `look` has found it."""
    return jack.server


def devices() -> list[Device]:
    """Return all devices, a JACK server first, as `look` has found them."""
    return [device for backend in BACKENDS.values() for device in backend.devices()]


def default_device(kind: str) -> Device | None:
    """Return what `mic` ("input") or the default output is now; a running JACK server comes first."""
    found = [d for d in devices() if d.channels(kind) > 0]
    if not found or found[0].is_jack:
        return found[0] if found else None
    index = portaudio.default_index(kind)
    return next((d for d in found if d.index == index), found[0])


def find_device(text: str, kind: str) -> Device:
    """Return the device that `text` names: an index, a name, or a part of one name only.

    Raises `DeviceError` with the nearest names, or with those that are meant equally well.
    """
    found = [d for d in devices() if d.channels(kind) > 0]
    if text.isdigit():
        for device in found:
            if device.index == int(text):
                return device
        known = ", ".join(f"{d.index} ({d.name})" for d in found) or "none"
        raise DeviceError(f"no {kind} device has the number {text}; {kind} devices: {known}")
    exact = [d for d in found if d.name.lower() == text.lower() or (d.is_jack and text.lower() == "system")]
    part = exact or [d for d in found if text.lower() in d.name.lower()]
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


def find_again(lost: Device, kind: str, before: Collection[str]) -> Device | None:
    """Return `lost` where it is back, by name and system, for "input" or "output"; None while it is not.

    A card of ALSA may come back under another number: then its name is new, none of those `before`.
    """
    there = [d for d in devices() if d.api == lost.api and d.channels(kind) > 0]
    same = [d for d in there if d.name == lost.name] or [
        d for d in there if d.name not in before and _unnumbered(d.name) == _unnumbered(lost.name)
    ]
    return next((d for d in same if d.index == lost.index), same[0] if same else None)


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
