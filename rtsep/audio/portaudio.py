"""PortAudio through sounddevice: its devices, and streams that run the compiled callback. The one importer.

PortAudio is kept away from a JACK server, which `jack_stream` speaks to itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from rtsep.audio.desk import portaudio_callback
from rtsep.errors import DeviceError
from rtsep.foreign import close_or_leave, quiet_stderr

_portaudio: Any = None
_open: set[Stream] = set()


def initialise() -> None:
    """Load PortAudio, or have it look at the devices anew; raises `DeviceError` where it is missing.

    As long as a stream is open (of another session in this program) it keeps to the devices that it knows:
    to look anew would close that stream.
    """
    global _portaudio
    with quiet_stderr(), _away_from_jack():
        if _portaudio is None:
            try:
                import sounddevice
            except OSError as error:
                raise DeviceError(
                    f"{error}; install it (Debian/Ubuntu: apt-get install libportaudio2) "
                    "or play without hardware: --out-device virtual"
                ) from None
            _portaudio = sounddevice
        if _open:
            return
        _portaudio._terminate()
        _portaudio._initialize()


def looks_anew() -> bool:
    """Whether `initialise` would look at the devices anew."""
    return not _open


@contextlib.contextmanager
def _away_from_jack() -> Iterator[None]:
    """Keep PortAudio from joining a JACK server: it would not survive its end (see jack_stream)."""
    name = "JACK_DEFAULT_SERVER"
    before = os.environ.get(name)
    os.environ[name] = "rtsep-none"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def query_devices() -> list[tuple[str, dict[str, Any]]]:
    """Return host API and description of every device, by number; none before `initialise`."""
    if _portaudio is None:
        return []
    apis = [api["name"] for api in _portaudio.query_hostapis()]
    return [(apis[raw["hostapi"]], raw) for raw in _portaudio.query_devices()]


def default_index(kind: str) -> int:
    """Return the number of the default device for "input" or "output"; -1 is none."""
    return int(_portaudio.default.device[0 if kind == "input" else 1]) if _portaudio else -1


def refusal(index: int, kind: str, channels: int, rate: int) -> str | None:
    """Return why device `index` cannot do `channels` at `rate` Hz, or None where it can."""
    check = _portaudio.check_input_settings if kind == "input" else _portaudio.check_output_settings
    try:
        with quiet_stderr():
            check(device=index, channels=channels, dtype="float32", samplerate=rate)
    except Exception as error:  # sounddevice raises PortAudioError and ValueError alike
        return str(error)
    return None


class Stream:
    """An open stream that runs the compiled callback on a desk."""

    def __init__(
        self,
        owner: object,
        desk: np.ndarray,
        inputs: tuple[int, int] | None,
        outputs: tuple[int, int] | None,
        rate: int,
        block: int,
    ) -> None:
        """Open devices with (number, channels) and `block` frames a call.

        `owner` is whatever owns the memory that `desk` points to.
        """
        sd = _portaudio
        both = [end for end in (inputs, outputs) if end is not None]
        kind = "duplex" if len(both) == 2 else "input" if inputs else "output"
        index: Any = tuple(d for d, _ in both) if kind == "duplex" else both[0][0]
        channels: Any = tuple(n for _, n in both) if kind == "duplex" else both[0][1]
        self._memory = (owner, desk)  # must outlive the stream
        try:
            with quiet_stderr():
                self._stream = sd._StreamBase(
                    kind=kind,
                    samplerate=rate,
                    blocksize=block,
                    device=index,
                    channels=channels,
                    dtype="float32",
                    latency="low",
                    clip_off=True,
                    dither_off=True,
                    callback=sd._ffi.cast("PaStreamCallback *", portaudio_callback.address),
                    userdata=sd._ffi.cast("void *", desk.ctypes.data),
                )
        except Exception as error:
            names = " and ".join(str(sd.query_devices(number)["name"]) for number, _ in both)
            raise DeviceError(f"cannot open {names}: {error}; 'rtsep devices' lists what is there") from None
        _open.add(self)

    @property
    def lost(self) -> str | None:
        """Nothing: PortAudio does not say; calls that stay away do."""
        return None

    def start(self) -> None:
        """Let the callbacks come."""
        try:
            with quiet_stderr():
                self._stream.start()
        except Exception as error:
            raise DeviceError(f"the device does not start: {error}") from None

    def tell_latency(self, latency: int) -> None:
        """Nothing: PortAudio has nobody to tell."""

    def close(self) -> bool:
        """Stop and close; returns False where the device's server is dead and the stream had to be left."""
        closed = close_or_leave(self, lambda: self._stream.close(ignore_errors=True))
        _open.discard(self)
        return closed
