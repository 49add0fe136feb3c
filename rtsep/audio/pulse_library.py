"""The part of libpulse for opening a stream: connects to the server and requests a latency in its terms.

Everything runs on a main loop without a thread: one thread at a time calls libpulse, first the one that opens
the stream, then the stream's own, which runs `rtsep.audio.pulse_loop`.
"""

from __future__ import annotations

import ctypes
import time
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_void_p
from typing import Any, NamedTuple

from rtsep.errors import DeviceError

LIBRARY = "libpulse.so.0"

CONNECT_PATIENCE_S = 5.0
"""Time limit for an answer of the server in seconds; a slower one is taken to hang."""

REQUEST = 3
"""The server requests at least this part, a third, of its buffer. It then takes a sixth at once and keeps
five sixths ready (fix_playback_buffer_attr in its sources): short bursts and a deep buffer."""

READY, FAILED = 4, 5  # pa_context_state_t; a stream is READY at 2 and has FAILED at 3
STREAM_READY, STREAM_FAILED = 2, 3

_FLOAT32LE = 5
_NOAUTOSPAWN = 0x1
_START_CORKED = 0x1
_NO_REMIX_CHANNELS, _ADJUST_LATENCY = 0x20, 0x2000
_DEFAULT_MAP = 0  # AIFF, PA_CHANNEL_MAP_DEFAULT
_UNSET = 0xFFFFFFFF
_LOOK_EVERY_US = 20_000


class _SampleSpec(Structure):
    _fields_ = (("format", c_int), ("rate", c_uint32), ("channels", c_uint8))


class _ChannelMap(Structure):
    _fields_ = (("channels", c_uint8), ("map", c_int * 32))


class _BufferAttributes(Structure):
    _fields_ = tuple((name, c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize"))


class Side(NamedTuple):
    """Parameters of one stream."""

    device: str  # the server's name of the sink or source
    playback: bool
    channels: int
    positions: tuple[int, ...]  # positions of the device's channels, in the server's numbering
    rate: int  # Hz
    latency: int  # in frames: the server's buffer and the device; for a source, one fragment
    title: str  # title in the user's mixer
    client: str  # name of the program there
    device_index: int = -1  # the server's number of the sink or source
    barred: int = -1  # playback: the server's number of the sink that gets silence, see `pulse_loop`
    stays: bool = False  # capture: on another source it captures silence, and is moved back


class Connection:
    """Connected stream, corked until `uncork`. Not thread-safe, see above."""

    def __init__(self, side: Side) -> None:
        """Connect; raise `DeviceError`, and leave nothing open."""
        self._pulse = _library()
        self._side = side
        self.loop: int = self._pulse.pa_mainloop_new()
        self.context = self.stream = 0
        try:
            self._join()
            self._open()
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        pulse = self._pulse
        api = pulse.pa_mainloop_get_api(self.loop)
        self.context = pulse.pa_context_new(api, self._side.client.encode())
        if pulse.pa_context_connect(self.context, None, _NOAUTOSPAWN, None) < 0:
            raise DeviceError(
                f"the sound server refused the connection ({self._error()}); check that it is still running"
            )
        self._await(pulse.pa_context_get_state, self.context, READY, FAILED)

    def _open(self) -> None:
        pulse, side = self._pulse, self._side
        spec = _SampleSpec(_FLOAT32LE, side.rate, side.channels)
        places = _ChannelMap()
        if len(side.positions) >= side.channels:
            places.channels = side.channels
            places.map[: side.channels] = side.positions[: side.channels]
        else:
            pulse.pa_channel_map_init_extend(byref(places), side.channels, _DEFAULT_MAP)
        self.stream = pulse.pa_stream_new(self.context, side.title.encode(), byref(spec), byref(places)) or 0
        if not self.stream:
            raise DeviceError(
                f"the sound server refuses {side.channels} channels at {side.rate} Hz; choose fewer, or "
                "leave out --rate"
            )
        wanted = 4 * side.channels * side.latency
        flags = _START_CORKED | _ADJUST_LATENCY
        if side.playback:
            # Prebuffering is off: time continues through an underrun, and `pulse_loop` compensates.
            request = 4 * side.channels * (side.latency // REQUEST)
            buffer = _BufferAttributes(_UNSET, wanted, 0, request, _UNSET)
            done = pulse.pa_stream_connect_playback(
                self.stream, side.device.encode(), byref(buffer), flags, None, None
            )
        else:
            buffer = _BufferAttributes(_UNSET, _UNSET, _UNSET, _UNSET, wanted)
            flags |= _NO_REMIX_CHANNELS  # a requested channel must not be a mix with others
            done = pulse.pa_stream_connect_record(self.stream, side.device.encode(), byref(buffer), flags)
        if done < 0:
            raise DeviceError(
                f"the sound server refuses {side.device} ({self._error()}); 'rtsep devices' lists the devices"
            )
        self._await(pulse.pa_stream_get_state, self.stream, STREAM_READY, STREAM_FAILED)

    def _await(self, state_of: Any, what: int, ready: int, failed: int) -> None:
        until = time.monotonic() + CONNECT_PATIENCE_S
        while (state := state_of(what)) != ready:
            if state >= failed:
                raise DeviceError(
                    f"the sound server refuses {self._side.device} ({self._error()}); 'rtsep devices' lists "
                    "the devices"
                )
            if time.monotonic() > until:
                raise DeviceError("the sound server does not answer; restart it")
            self._turn()

    def _turn(self) -> None:
        pulse = self._pulse
        pulse.pa_mainloop_prepare(self.loop, _LOOK_EVERY_US)
        pulse.pa_mainloop_poll(self.loop)
        pulse.pa_mainloop_dispatch(self.loop)

    def _error(self) -> str:
        return str(self._pulse.pa_strerror(self._pulse.pa_context_errno(self.context)).decode())

    @property
    def buffer_frames(self) -> int:
        """Return the server's playback buffer in frames, without its device's buffer."""
        granted = self._pulse.pa_stream_get_buffer_attr(self.stream).contents
        return int(granted.tlength) // (4 * self._side.channels)

    @property
    def index(self) -> int:
        """Return the server's number of the stream."""
        return int(self._pulse.pa_stream_get_index(self.stream))

    @property
    def device_name(self) -> str:
        """Return the server's name of the current sink or source of the stream."""
        return str((self._pulse.pa_stream_get_device_name(self.stream) or b"").decode(errors="replace"))

    def uncork(self) -> None:
        """Start the stream; the request is sent when `pulse_loop` takes over."""
        operation = self._pulse.pa_stream_cork(self.stream, 0, None, None)
        if operation:
            self._pulse.pa_operation_unref(operation)

    def close(self) -> None:
        """Leave the server; call this only once."""
        pulse = self._pulse
        if self.stream:
            pulse.pa_stream_disconnect(self.stream)
            pulse.pa_stream_unref(self.stream)
        if self.context:
            pulse.pa_context_disconnect(self.context)
            pulse.pa_context_unref(self.context)
        pulse.pa_mainloop_free(self.loop)
        self.loop = self.context = self.stream = 0


def _library() -> Any:
    """Return libpulse with the types of the functions used here."""
    try:
        pulse = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise DeviceError(f"{error}; install it (Debian/Ubuntu: apt-get install libpulse0)") from None
    pointers = (
        "pa_mainloop_new pa_mainloop_get_api pa_context_new pa_stream_new pa_stream_cork"  # return types
    )
    for name in pointers.split():
        getattr(pulse, name).restype = c_void_p
    pulse.pa_strerror.restype = pulse.pa_stream_get_device_name.restype = c_char_p
    pulse.pa_stream_get_index.restype = c_uint32
    pulse.pa_stream_get_buffer_attr.restype = POINTER(_BufferAttributes)
    arguments: dict[str, tuple[Any, ...]] = {
        "pa_mainloop_get_api": (c_void_p,),
        "pa_mainloop_prepare": (c_void_p, c_int),
        "pa_mainloop_poll": (c_void_p,),
        "pa_mainloop_dispatch": (c_void_p,),
        "pa_mainloop_free": (c_void_p,),
        "pa_context_new": (c_void_p, c_char_p),
        "pa_context_connect": (c_void_p, c_char_p, c_int, c_void_p),
        "pa_context_get_state": (c_void_p,),
        "pa_context_errno": (c_void_p,),
        "pa_context_disconnect": (c_void_p,),
        "pa_context_unref": (c_void_p,),
        "pa_channel_map_init_extend": (c_void_p, c_size_t, c_int),
        "pa_stream_new": (c_void_p, c_char_p, c_void_p, c_void_p),
        "pa_stream_connect_playback": (c_void_p, c_char_p, c_void_p, c_int, c_void_p, c_void_p),
        "pa_stream_connect_record": (c_void_p, c_char_p, c_void_p, c_int),
        "pa_stream_get_state": (c_void_p,),
        "pa_stream_get_buffer_attr": (c_void_p,),
        "pa_stream_get_index": (c_void_p,),
        "pa_stream_get_device_name": (c_void_p,),
        "pa_stream_cork": (c_void_p, c_int, c_void_p, c_void_p),
        "pa_operation_unref": (c_void_p,),
        "pa_stream_disconnect": (c_void_p,),
        "pa_stream_unref": (c_void_p,),
        "pa_strerror": (c_int,),
    }
    for name, types in arguments.items():
        getattr(pulse, name).argtypes = types
    return pulse
