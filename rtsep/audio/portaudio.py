"""PortAudio as an audio back end, through sounddevice: its devices, its callback, its streams.

PortAudio is kept away from JACK servers; `jack_stream` connects to them directly.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
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
"""Wait for other calls before a stream is closed, in seconds; a close beside them is better than none."""

_portaudio: Any = None
_open: set[Stream] = set()
_looking = False


@cfunc(_STREAM_CALLBACK, nopython=True, cache=True)
def portaudio_callback(device_in, device_out, frames, time_info, flags, user):  # type: ignore[no-untyped-def]
    """Audio callback (PaStreamCallback); `user` is the address of a mixer. It always continues (returns 0).

    One function serves duplex, input-only and output-only streams: the missing side is a null pointer.
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
    """Load PortAudio, or make it search the devices again; raise `DeviceError` if that fails.

    While a stream is open (of another session in this program), PortAudio keeps its list of devices: a new
    search would close that stream.
    """
    global _looking
    with one_at_a_time(), quiet_stderr(), _away_from_jack(), _as_device_error():
        if _looking:  # and is no longer entitled to search
            raise DeviceError("the sound system does not answer any more; restart it, then this program")
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
        _keep_alsa_plugins()
        in_forks(lambda: atexit.unregister(sounddevice._exit_handler))
    if _open:
        return
    if _portaudio._initialized:  # false if the last search failed
        _portaudio._terminate()
    # sounddevice's _initialize also redirects standard error, and restores it at an unknown time.
    _portaudio._check(_portaudio._lib.Pa_Initialize())
    _portaudio._initialized += 1


def _keep_alsa_plugins() -> None:
    """Load ALSA's plugins for good, if this process has ALSA.

    A search opens each device, so ALSA loads and unloads its plugins every time. One of them brings
    libavcodec and some 60 more libraries, which allocate 13 kB as they are loaded and never free it. While a
    device is lost, rtsep searches twice a second: that was 90 MB an hour.
    """
    for plugin in alsa_plugins():
        with contextlib.suppress(OSError):  # it needs a library that is not installed
            ctypes.CDLL(str(plugin), mode=os.RTLD_LAZY | os.RTLD_NODELETE)


def alsa_plugins() -> list[Path]:
    """Return the plugins of the ALSA library in this process that are devices; none without ALSA."""
    maps = Path("/proc/self/maps")
    if not sys.platform.startswith("linux") or not maps.exists():
        return []
    found = re.search(r"(/\S+)/libasound\.so\.\d", maps.read_text(errors="surrogateescape"))
    return sorted(Path(found[1], "alsa-lib").glob("libasound_module_pcm_*.so")) if found else []


@contextlib.contextmanager
def _as_device_error() -> Iterator[None]:
    """Convert PortAudio's errors to `DeviceError`; their class is known only after loading."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "PortAudioError":
            raise
        raise DeviceError(
            f"the sound system refused the request: {error}; 'rtsep devices' lists the devices"
        ) from None


def lists_new_devices() -> bool:
    """Return whether `initialise` would search the devices again."""
    return not _open


_AWAY_FROM_JACK = {
    "JACK_DEFAULT_SERVER": "rtsep-none",  # no server has this name
    "JACK_NO_START_SERVER": "1",
    "PIPEWIRE_NOJACK": "1",  # PipeWire's libjack ignores server names, but not this
}


def _away_from_jack() -> contextlib.AbstractContextManager[None]:
    """Keep PortAudio from joining a JACK server: it aborts the program when a server ends (jack_stream).

    Every libjack reads the environment when it opens a client, and PortAudio opens its client only here.
    """
    return for_libraries(_AWAY_FROM_JACK)


def query_devices() -> list[tuple[str, dict[str, Any]]]:
    """Return host API and description of every device, by number; empty before `initialise`.

    Raise `DeviceError`.
    """
    if _portaudio is None:
        return []
    with one_at_a_time(), _as_device_error():
        apis = [api["name"] for api in _portaudio.query_hostapis()]
        return [(apis[raw["hostapi"]], raw) for raw in _portaudio.query_devices()]


def default_index(kind: str) -> int:
    """Return the number of the default device for "input" or "output"; -1: none."""
    if _portaudio is None:
        return -1
    with one_at_a_time():
        return int(_portaudio.default.device[0 if kind == "input" else 1])


def refusal(index: int, kind: str, channels: int, rate: int) -> str | None:
    """Return why device `index` cannot do `channels` at `rate` Hz, None if it can."""
    check = _portaudio.check_input_settings if kind == "input" else _portaudio.check_output_settings
    try:
        with one_at_a_time(), quiet_stderr():
            check(device=index, channels=channels, dtype="float32", samplerate=rate)
    except Exception as error:  # sounddevice raises both PortAudioError and ValueError
        return str(error)
    return None


class PortAudioBackend:
    """All devices of PortAudio, except JACK servers."""

    def devices(self) -> list[Device]:
        """Return the devices found by `initialise`; raise `DeviceError`."""
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
        """Raise `DeviceError` with the device's abilities if the format is impossible."""
        if reason := refusal(device.index, kind, channels, rate):
            raise DeviceError(
                f"{device.name} cannot do {channels} channels at {rate} Hz ({reason}); "
                f"its own rate is {device.rate} Hz: try --rate {device.rate}"
            )

    def compile(self) -> None:
        """Compile the callback, or load it from the cache; the import of this module does this."""
        assert portaudio_callback.address

    def open(self, request: StreamRequest) -> AudioStream:
        """Open one device, or one for input and output."""
        mixer = request.mixer
        inputs = (request.input.index, request.inputs) if request.input else None
        outputs = (request.output.index, request.outputs) if request.output else None
        return Stream(mixer, mixer.state, inputs, outputs, request.rate, request.block)


class Stream:
    """Open stream that runs the compiled callback on a mixer."""

    def __init__(
        self,
        owner: object,
        mixer: np.ndarray,
        inputs: tuple[int, int] | None,
        outputs: tuple[int, int] | None,
        rate: int,
        block: int,
    ) -> None:
        """Open devices given as (number, channels), with `block` frames per call.

        `owner` owns the memory that `mixer` points to.
        """
        sd = _portaudio
        both = [end for end in (inputs, outputs) if end is not None]
        kind = "duplex" if len(both) == 2 else "input" if inputs else "output"
        index: Any = tuple(d for d, _ in both) if kind == "duplex" else both[0][0]
        channels: Any = tuple(n for _, n in both) if kind == "duplex" else both[0][1]
        self._memory = (owner, mixer)  # must outlive the stream
        try:
            # Until the stream is counted, no search may start.
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
                f"cannot open {_names(both)}: {error}; 'rtsep devices' lists the devices"
            ) from None

    @property
    def lost(self) -> str | None:
        """Return None: PortAudio reports no loss; missing calls reveal it."""
        return None

    def start(self) -> None:
        """Start the callbacks."""
        try:
            with one_at_a_time(), quiet_stderr():
                self._stream.start()
        except Exception as error:
            raise DeviceError(f"the device does not start: {error}; another program may use it") from None

    @property
    def new_rate(self) -> None:
        """Return None: its rate never changes."""

    @property
    def moves(self) -> int:
        """Return 0: streams of this kind are not moved."""
        return 0

    @property
    def moved_to(self) -> None:
        """Return None: streams of this kind are not moved."""

    @property
    def waits_for_us(self) -> bool:
        """Return False: the device keeps time."""
        return False

    def go_on_at(self, rate: int) -> None:
        """Do nothing: the rate never changes."""

    def tend(self) -> list[str]:
        """Do nothing: all work happens in the callbacks."""
        return []

    def report_latency(self, latency: int) -> None:
        """Do nothing: PortAudio does not use the latency."""

    def close(self) -> bool:
        """Stop and close; return False if the device's server is dead and the stream was abandoned."""
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
    except (DeviceError, IndexError):  # they have disappeared meanwhile
        return "the device"
