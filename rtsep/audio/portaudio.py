"""Sound devices: list, choose by name, open with the compiled callback. The one importer of sounddevice."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtsep.audio.callback import portaudio_callback
from rtsep.errors import DeviceError, suggest
from rtsep.quiet import quiet_stderr

CLOSE_PATIENCE_S = 2.0
"""A stream whose server has died may never close: after this long it is left behind."""

_portaudio: Any = None
_client_name: ctypes.Array[ctypes.c_char] | None = None  # PortAudio keeps the pointer


@dataclass(frozen=True)
class Device:
    """One device as PortAudio sees it."""

    index: int
    name: str
    api: str
    inputs: int
    outputs: int
    rate: int  # Hz, its default
    input_latency_s: float = 0.0  # what it says of itself, at its lowest
    output_latency_s: float = 0.0

    @property
    def is_jack(self) -> bool:
        """Whether a JACK server stands behind it: rate and block are the server's."""
        return "JACK" in self.api

    def channels(self, kind: str) -> int:
        """Return the number of channels for "input" or "output"."""
        return self.inputs if kind == "input" else self.outputs


def initialise(client_name: str = "rtsep") -> None:
    """Load PortAudio, or look at the devices anew; `client_name` is how JACK will know us.

    Raises `DeviceError` where the library is missing.
    """
    global _portaudio, _client_name
    os.environ.setdefault("JACK_NO_START_SERVER", "1")  # looking at devices starts no server
    with quiet_stderr():
        if _portaudio is None:
            try:
                import sounddevice
            except OSError as error:
                raise DeviceError(
                    f"{error}; install it (Debian/Ubuntu: apt-get install libportaudio2) "
                    "or play without hardware: --out-device virtual"
                ) from None
            _portaudio = sounddevice
        _portaudio._terminate()
        with contextlib.suppress(AttributeError):  # a PortAudio without JACK has no such function
            set_name = ctypes.CDLL(_portaudio._libname).PaJack_SetClientName
            _client_name = ctypes.create_string_buffer(client_name.encode())
            set_name(_client_name)
        _portaudio._initialize()


def devices() -> list[Device]:
    """Return all devices; `initialise` must have been called."""
    apis = [api["name"] for api in _portaudio.query_hostapis()]
    return [
        Device(
            index,
            raw["name"],
            apis[raw["hostapi"]],
            raw["max_input_channels"],
            raw["max_output_channels"],
            int(raw["default_samplerate"]),
            *((0.0, 0.0) if "JACK" in apis[raw["hostapi"]] else _declared_latency(raw)),
        )
        for index, raw in enumerate(_portaudio.query_devices())
    ]


def _declared_latency(raw: dict[str, Any]) -> tuple[float, float]:
    # A JACK server says 0 here, or 97,391 s: not asked. Its own block counts in the engine.
    return raw["default_low_input_latency"], raw["default_low_output_latency"]


def default_device(kind: str) -> Device | None:
    """Return what `mic` ("input") or the default output is now; a running JACK server comes first."""
    found = [d for d in devices() if d.channels(kind) > 0]
    for api in _portaudio.query_hostapis():
        if "JACK" in api["name"]:
            for device in found:
                if device.index == api[f"default_{kind}_device"]:
                    return device
    index = _portaudio.default.device[0 if kind == "input" else 1]
    return next((d for d in found if d.index == index), found[0] if found else None)


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
    exact = [d for d in found if d.name.lower() == text.lower()]
    part = exact or [d for d in found if text.lower() in d.name.lower()]
    if len({d.name for d in part}) == 1:
        preferred = [d for d in part if d.is_jack] or part
        return preferred[0]
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
    check = _portaudio.check_input_settings if kind == "input" else _portaudio.check_output_settings
    try:
        with quiet_stderr():
            check(device=device.index, channels=channels, dtype="float32", samplerate=rate)
    except Exception as error:  # sounddevice raises PortAudioError and ValueError alike
        raise DeviceError(
            f"{device.name} cannot do {channels} channels at {rate} Hz ({error}); "
            f"its own rate is {device.rate} Hz"
        ) from None


class Stream:
    """An open stream that runs the compiled callback on the slots of an engine."""

    def __init__(
        self,
        owner: object,
        state: np.ndarray,
        inputs: tuple[Device, int] | None,
        outputs: tuple[Device, int] | None,
        rate: int,
        block: int,
    ) -> None:
        """Open devices with (device, channels) and `block` frames a call (a JACK server has its own).

        `owner` is whatever owns the memory that `state` points to.
        """
        sd = _portaudio
        both = [end for end in (inputs, outputs) if end is not None]
        kind = "duplex" if len(both) == 2 else "input" if inputs else "output"
        index: Any = tuple(d.index for d, _ in both) if kind == "duplex" else both[0][0].index
        channels: Any = tuple(n for _, n in both) if kind == "duplex" else both[0][1]
        self._memory = (owner, state)  # must outlive the stream
        try:
            with quiet_stderr():
                self._stream = sd._StreamBase(
                    kind=kind,
                    samplerate=rate,
                    blocksize=0 if both[0][0].is_jack else block,
                    device=index,
                    channels=channels,
                    dtype="float32",
                    latency="low",
                    clip_off=True,
                    dither_off=True,
                    callback=sd._ffi.cast("PaStreamCallback *", portaudio_callback.address),
                    userdata=sd._ffi.cast("void *", state.ctypes.data),
                )
        except Exception as error:
            names = " and ".join(d.name for d, _ in both)
            raise DeviceError(f"cannot open {names}: {error}; 'rtsep devices' lists what is there") from None

    def start(self) -> None:
        """Let the callbacks come."""
        try:
            with quiet_stderr():
                self._stream.start()
        except Exception as error:
            raise DeviceError(f"the device does not start: {error}") from None

    def close(self) -> bool:
        """Stop and close; returns False where the device's server is dead and the stream had to be left."""

        def shut() -> None:
            with contextlib.suppress(Exception):
                self._stream.close(ignore_errors=True)

        closed = within(CLOSE_PATIENCE_S, shut)
        if not closed:
            _left_behind.append(self)  # it may call back yet: its memory stays
        return closed


_left_behind: list[Stream] = []


def within(seconds: float, action: Callable[[], None]) -> bool:
    """Run `action` on a thread of its own; return whether it came back within `seconds`."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
