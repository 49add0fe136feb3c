"""The sound devices of all systems: list them, choose one by name, ask whether it can do what is wanted."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass

from rtsep.audio import jack_ports, portaudio
from rtsep.audio.jack_ports import JackServer
from rtsep.errors import DeviceError, suggest
from rtsep.realtime.foreign_calls import within

LOOK_PATIENCE_S = 5.0
"""A JACK server that does not answer for so long has hung."""

JACK = -1
"""The device number of the JACK server, which PortAudio does not count."""

JACK_CHANNELS = 64
"""Ports that we would make on a JACK server: they need no hardware behind them."""

_jack: JackServer | None = None


@dataclass(frozen=True)
class Device:
    """One device: a sound card, or a JACK server with all it is connected to."""

    index: int
    name: str
    api: str
    inputs: int  # of the hardware
    outputs: int
    rate: int  # Hz, its default
    input_latency_s: float = 0.0  # what it says of itself, at its lowest
    output_latency_s: float = 0.0

    @property
    def is_jack(self) -> bool:
        """Whether it is a JACK server: rate and block are the server's."""
        return self.index == JACK

    def channels(self, kind: str) -> int:
        """Return how many channels can be opened for "input" or "output"."""
        if self.is_jack:
            return JACK_CHANNELS
        return self.inputs if kind == "input" else self.outputs


def look() -> None:
    """Look at what there is now; raises `DeviceError` where no sound system can be asked."""
    global _jack
    os.environ.setdefault("JACK_NO_START_SERVER", "1")  # looking at devices starts no server
    found: list[JackServer | None] = []
    if not within(LOOK_PATIENCE_S, lambda: found.append(jack_ports.find_server())):
        raise DeviceError("the JACK server has hung; stop it, or start it again")
    _jack = found[0]
    try:
        portaudio.initialise()
    except DeviceError:
        if _jack is None:
            raise


def jack_server() -> JackServer | None:
    """Return the JACK server as `look` has found it."""
    return _jack


def devices() -> list[Device]:
    """Return all devices, a JACK server first, as `look` has found them."""
    found = []
    if _jack:
        found.append(Device(JACK, "JACK server", "JACK", _jack.captures, _jack.playbacks, _jack.rate))
    for index, (api, raw) in enumerate(portaudio.query_devices()):
        if "JACK" not in api:
            found.append(
                Device(
                    index,
                    raw["name"],
                    api,
                    raw["max_input_channels"],
                    raw["max_output_channels"],
                    int(raw["default_samplerate"]),
                    raw["default_low_input_latency"],
                    raw["default_low_output_latency"],
                )
            )
    return found


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
    if device.is_jack:
        if rate != device.rate:
            raise DeviceError(f"the JACK server runs at {device.rate} Hz, not at {rate}; leave --rate away")
        return
    reason = portaudio.refusal(device.index, kind, channels, rate)
    if reason:
        raise DeviceError(
            f"{device.name} cannot do {channels} channels at {rate} Hz ({reason}); "
            f"its own rate is {device.rate} Hz"
        )
