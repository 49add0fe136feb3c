"""PortAudio as an audio back end, through sounddevice: its devices, its callback, its streams.

PortAudio is kept away from a JACK server, which `jack_stream` speaks to itself.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import cfunc, types

from rtsep.audio.backend import AudioStream, Device, StreamRequest
from rtsep.audio.engine_mixer import mixer_at, plays_a_file, process_input, process_output
from rtsep.errors import DeviceError
from rtsep.realtime.atomics import as_address
from rtsep.realtime.child_process import for_libraries
from rtsep.realtime.foreign_calls import close_or_leave, one_at_a_time, quiet_stderr
from rtsep.realtime.forks import in_forks

_INPUT_OVERFLOW = 0x2  # paInputOverflow
_OUTPUT_UNDERFLOW = 0x4  # paOutputUnderflow
_unsigned_long = types.uint32 if sys.platform == "win32" else types.uint64
_STREAM_CALLBACK = types.int32(
    types.voidptr, types.voidptr, _unsigned_long, types.voidptr, _unsigned_long, types.voidptr
)

CLOSE_AFTER_S = 1.0
"""How long the end of a stream waits for other calls: to close it beside them is better than not at all."""

_portaudio: Any = None
_open: set[Stream] = set()
_looking = False


@cfunc(_STREAM_CALLBACK, nopython=True, cache=True)
def portaudio_callback(device_in, device_out, frames, time_info, flags, user):  # type: ignore[no-untyped-def]
    """PaStreamCallback; `user` is the address of a mixer. Always asks to be called again (0).

    One function serves duplex, input-only and output-only streams: what is missing arrives as a null pointer.
    """
    mixer = mixer_at(as_address(user))
    count, status = np.int64(frames), np.int64(flags)
    if as_address(device_in) != 0:
        process_input(mixer, as_address(device_in), count, status & _INPUT_OVERFLOW)
    elif as_address(device_out) != 0 and plays_a_file(mixer):
        process_input(mixer, 0, count, 0)
    if as_address(device_out) != 0:
        process_output(mixer, as_address(device_out), count, status & _OUTPUT_UNDERFLOW)
    return np.int32(0)


def initialise() -> None:
    """Load PortAudio, or have it look at the devices anew; raises `DeviceError` where it cannot.

    As long as a stream is open (of another session in this program) it keeps to the devices that it knows:
    to look anew would close that stream.
    """
    global _looking
    with one_at_a_time(), quiet_stderr(), _away_from_jack(), _as_device_error():
        if _looking:  # and has lost its turn
            raise DeviceError(
                "the sound system does not answer any more; start the program again when it does"
            )
        _looking = True
        try:
            _look()
        finally:
            _looking = False


def _look() -> None:
    global _portaudio
    if _portaudio is None:
        try:
            import sounddevice
        except OSError as error:
            raise DeviceError(
                f"{error}; install it (Debian/Ubuntu: apt-get install libportaudio2) "
                "or play without hardware: --out-device virtual"
            ) from None
        _portaudio = sounddevice
        in_forks(lambda: atexit.unregister(sounddevice._exit_handler))
    if _open:
        return
    if _portaudio._initialized:  # not where the last look has failed
        _portaudio._terminate()
    # Not its _initialize, which leads standard error elsewhere as well, and back when we do not know of it.
    _portaudio._check(_portaudio._lib.Pa_Initialize())
    _portaudio._initialized += 1


@contextlib.contextmanager
def _as_device_error() -> Iterator[None]:
    """Raise what PortAudio says is wrong as a `DeviceError`; its own class is known once it is loaded."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "PortAudioError":
            raise
        raise DeviceError(f"the sound system refuses: {error}") from None


def looks_anew() -> bool:
    """Whether `initialise` would look at the devices anew."""
    return not _open


_AWAY_FROM_JACK = {
    "JACK_DEFAULT_SERVER": "rtsep-none",  # no server has this name
    "JACK_NO_START_SERVER": "1",
    "PIPEWIRE_NOJACK": "1",  # PipeWire's libjack knows no names of servers, but this
}


def _away_from_jack() -> contextlib.AbstractContextManager[None]:
    """Keep PortAudio from joining a JACK server: it aborts the program when a server ends (jack_stream).

    Every libjack reads the environment when a client is opened, and PortAudio opens its client only here.
    """
    return for_libraries(_AWAY_FROM_JACK)


def query_devices() -> list[tuple[str, dict[str, Any]]]:
    """Return host API and description of every device, by number; none before `initialise`.

    Raises `DeviceError`.
    """
    if _portaudio is None:
        return []
    with one_at_a_time(), _as_device_error():
        apis = [api["name"] for api in _portaudio.query_hostapis()]
        return [(apis[raw["hostapi"]], raw) for raw in _portaudio.query_devices()]


def default_index(kind: str) -> int:
    """Return the number of the default device for "input" or "output"; -1 is none."""
    if _portaudio is None:
        return -1
    with one_at_a_time():
        return int(_portaudio.default.device[0 if kind == "input" else 1])


def refusal(index: int, kind: str, channels: int, rate: int) -> str | None:
    """Return why device `index` cannot do `channels` at `rate` Hz, or None where it can."""
    check = _portaudio.check_input_settings if kind == "input" else _portaudio.check_output_settings
    try:
        with one_at_a_time(), quiet_stderr():
            check(device=index, channels=channels, dtype="float32", samplerate=rate)
    except Exception as error:  # sounddevice raises PortAudioError and ValueError alike
        return str(error)
    return None


class PortAudioBackend:
    """All devices that PortAudio knows, but for a JACK server."""

    def devices(self) -> list[Device]:
        """Return the devices as `initialise` has found them; raises `DeviceError`."""
        return [
            Device(
                index=index,
                name=raw["name"],
                api=api,
                inputs=raw["max_input_channels"],
                outputs=raw["max_output_channels"],
                rate=int(raw["default_samplerate"]),
                input_latency_s=raw["default_low_input_latency"],
                output_latency_s=raw["default_low_output_latency"],
            )
            for index, (api, raw) in enumerate(query_devices())
            if "JACK" not in api
        ]

    def check(self, device: Device, kind: str, channels: int, rate: int) -> None:
        """Raise `DeviceError` that says what `device` can do."""
        if reason := refusal(device.index, kind, channels, rate):
            raise DeviceError(
                f"{device.name} cannot do {channels} channels at {rate} Hz ({reason}); "
                f"its own rate is {device.rate} Hz"
            )

    def compile(self) -> None:
        """Compile the callback, or load it from the cache: done once this module is imported."""
        assert portaudio_callback.address

    def open(self, request: StreamRequest) -> AudioStream:
        """Open one device, or one for input and output."""
        mixer = request.mixer
        inputs = (request.input.index, request.inputs) if request.input else None
        outputs = (request.output.index, request.outputs) if request.output else None
        return Stream(mixer, mixer.slots, inputs, outputs, request.rate, request.block)


class Stream:
    """An open stream that runs the compiled callback on a mixer."""

    def __init__(
        self,
        owner: object,
        mixer: np.ndarray,
        inputs: tuple[int, int] | None,
        outputs: tuple[int, int] | None,
        rate: int,
        block: int,
    ) -> None:
        """Open devices with (number, channels) and `block` frames a call.

        `owner` is whatever owns the memory that `mixer` points to.
        """
        sd = _portaudio
        both = [end for end in (inputs, outputs) if end is not None]
        kind = "duplex" if len(both) == 2 else "input" if inputs else "output"
        index: Any = tuple(d for d, _ in both) if kind == "duplex" else both[0][0]
        channels: Any = tuple(n for _, n in both) if kind == "duplex" else both[0][1]
        self._memory = (owner, mixer)  # must outlive the stream
        try:
            # Until the stream is counted nobody may look anew.
            with one_at_a_time(), quiet_stderr():
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
                    userdata=sd._ffi.cast("void *", mixer.ctypes.data),
                )
                _open.add(self)
        except Exception as error:
            raise DeviceError(
                f"cannot open {_names(both)}: {error}; 'rtsep devices' lists what is there"
            ) from None

    @property
    def lost(self) -> str | None:
        """Nothing: PortAudio does not say; calls that stay away do."""
        return None

    def start(self) -> None:
        """Let the callbacks come."""
        try:
            with one_at_a_time(), quiet_stderr():
                self._stream.start()
        except Exception as error:
            raise DeviceError(f"the device does not start: {error}") from None

    @property
    def new_rate(self) -> None:
        """None: it has one rate for life."""

    @property
    def moves(self) -> int:
        """0: nobody moves it."""
        return 0

    @property
    def moved_to(self) -> None:
        """None: nobody moves it."""

    @property
    def waits_for_us(self) -> bool:
        """False: it keeps time."""
        return False

    def go_on_at(self, rate: int) -> None:
        """Do nothing: it never changes its rate."""

    def tend(self) -> list[str]:
        """Do nothing: all happens in the callbacks."""
        return []

    def tell_latency(self, latency: int) -> None:
        """Nothing: PortAudio has nobody to tell."""

    def close(self) -> bool:
        """Stop and close; returns False where the device's server is dead and the stream had to be left."""
        closed = close_or_leave(self, self._close)
        _open.discard(self)
        return closed

    def _close(self) -> None:
        with one_at_a_time(CLOSE_AFTER_S):
            self._stream.close(ignore_errors=True)


def _names(ends: list[tuple[int, int]]) -> str:
    try:
        known = query_devices()
        return " and ".join(str(known[number][1]["name"]) for number, _ in ends)
    except (DeviceError, IndexError):  # they have gone meanwhile
        return "the device"
