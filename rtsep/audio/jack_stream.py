"""A stream on a JACK server: a client of our own that runs the audio callback's functions, compiled.

Not through PortAudio: its JACK driver asserts, when it ends, that the server lets it go, so a server that
dies takes the program with it; it cannot name ports, and it keeps to itself that a server shuts down or
changes its period. Needs libjack when it is imported.

Every function that JACK calls is compiled, also the rare ones: one in Python would need the GIL while whoever
holds it may be waiting for the server, which waits for us.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Any

import llvmlite.binding
import numpy as np
from numba import carray, cfunc, njit, types

from rtsep.audio import jack_ports
from rtsep.audio import rings as r
from rtsep.audio.backend import ClientOptions
from rtsep.audio.engine_mixer import (
    EngineMixer,
    current_engine,
    mixer_at,
    plays_a_file,
    process_input,
    process_output,
)
from rtsep.errors import DeviceError
from rtsep.realtime.atomics import (
    acquire,
    address_of,
    as_address,
    as_pointer,
    load_acquire,
    release,
    store_release,
)
from rtsep.realtime.foreign_calls import close_or_leave

llvmlite.binding.load_library_permanently(jack_ports.library())
_port_buffer = types.ExternalFunction("jack_port_get_buffer", types.int64(types.int64, types.uint32))
_LATENCY_RANGE = types.void(types.int64, types.int32, types.voidptr)
_get_latency = types.ExternalFunction("jack_port_get_latency_range", _LATENCY_RANGE)
_set_latency = types.ExternalFunction("jack_port_set_latency_range", _LATENCY_RANGE)

# Slots of a stream.
_MIXER = 0  # address of the mixer
_PERIOD = 1  # frames a call that the engine was built for
_LOST = 2  # why it plays no more: a key of _REASONS, or 0
_LATENCY = 3  # frames from our inputs to our outputs
_RANGE = 4  # a jack_latency_range_t: uint32 min, max
_IN_BLOCK = 5  # address of float32 [period, inputs]
_OUT_BLOCK = 6  # address of float32 [period, outputs]
_INPUTS = 7  # how many
_OUTPUTS = 8
_PLAYS = 9  # 1: from now on; before that, its ports are being connected one by one
_PORTS = 10  # addresses of the inputs, then of the outputs
_MOST_PORTS = 128
_SLOTS = _PORTS + _MOST_PORTS

_SHUT_DOWN, _NEW_PERIOD = 1, 2
_REASONS = {
    _SHUT_DOWN: "the JACK server has shut down",
    _NEW_PERIOD: "the JACK server has changed its period",
}

_CAPTURE = 0  # JackCaptureLatency: how old a port's signal is; the other one: how long until it is heard


@njit(inline="always")
def _stream_at(address: int) -> np.ndarray:
    """Return the slots of a stream, int64 [_SLOTS], by their address."""
    return carray(as_pointer(address), (_SLOTS,), np.int64)


@njit(cache=True, nogil=True)
def _samples(port: int, frames: int) -> np.ndarray:
    """Return the samples of a port in this call, [frames]."""
    return carray(as_pointer(_port_buffer(port, frames)), (frames,), np.float32)


@cfunc(types.int32(types.uint32, types.voidptr), nopython=True, cache=True)
def _process(frames, user):  # type: ignore[no-untyped-def]
    slots = _stream_at(as_address(user))
    mixer = mixer_at(slots[_MIXER])
    inputs, outputs, count = slots[_INPUTS], slots[_OUTPUTS], np.int64(frames)
    grown = count > slots[_PERIOD]
    if grown:  # the server is changing; this engine is about to be replaced
        store_release(slots, _LOST, _NEW_PERIOD)
    if grown or load_acquire(slots, _PLAYS) == 0:
        for k in range(outputs):
            _samples(slots[_PORTS + inputs + k], count)[:] = 0
        return np.int32(0)
    if inputs > 0:
        taken = r.frames_at(slots[_IN_BLOCK], count, inputs)
        for k in range(inputs):
            heard = _samples(slots[_PORTS + k], count)
            for i in range(count):
                taken[i, k] = heard[i]
        process_input(mixer, slots[_IN_BLOCK], count, 0)
    elif plays_a_file(mixer):
        process_input(mixer, 0, count, 0)
    if outputs > 0:
        process_output(mixer, slots[_OUT_BLOCK], count, 0)
        given = r.frames_at(slots[_OUT_BLOCK], count, outputs)
        for k in range(outputs):
            played = _samples(slots[_PORTS + inputs + k], count)
            for i in range(count):
                played[i] = given[i, k]
    return np.int32(0)


@cfunc(types.void(types.voidptr), nopython=True, cache=True)
def _shut_down(user):  # type: ignore[no-untyped-def]
    store_release(_stream_at(as_address(user)), _LOST, _SHUT_DOWN)


@cfunc(types.int32(types.uint32, types.voidptr), nopython=True, cache=True)
def _period_is(frames, user):  # type: ignore[no-untyped-def]
    slots = _stream_at(as_address(user))
    if np.int64(frames) != slots[_PERIOD]:
        store_release(slots, _LOST, _NEW_PERIOD)
    return np.int32(0)


@cfunc(types.int32(types.voidptr), nopython=True, cache=True)
def _xrun(user):  # type: ignore[no-untyped-def]
    slots = _stream_at(as_address(user))
    state = current_engine(mixer_at(slots[_MIXER]))
    state[r.IN_OVERFLOWS if slots[_INPUTS] > 0 else r.OUT_UNDERFLOWS] += 1  # _process leaves them alone
    return np.int32(0)


@cfunc(types.void(types.int32, types.voidptr), nopython=True, cache=True)
def _latency_is(mode, user):  # type: ignore[no-untyped-def]
    """Tell the server what we add, so that a DAW can make up for it."""
    slots = _stream_at(as_address(user))
    inputs, outputs = slots[_INPUTS], slots[_OUTPUTS]
    forth = np.int64(mode) == _CAPTURE
    first_known, known = (0, inputs) if forth else (inputs, outputs)
    first_told, told = (inputs, outputs) if forth else (0, inputs)
    where = as_pointer(address_of(slots, _RANGE))
    low, high = np.int64(-1), np.int64(0)
    for k in range(known):
        _get_latency(slots[_PORTS + first_known + k], mode, where)
        least, most = slots[_RANGE] & 0xFFFFFFFF, slots[_RANGE] >> 32
        low = least if low < 0 else min(low, least)
        high = max(high, most)
    slots[_RANGE] = (max(low, 0) + slots[_LATENCY]) | (high + slots[_LATENCY]) << 32
    for k in range(told):
        _set_latency(slots[_PORTS + first_told + k], mode, where)


def compile_callbacks() -> None:
    """Compile what the server calls, or load it from the cache: done once this module is imported."""
    assert all(call.address for call in (_process, _period_is, _xrun, _latency_is, _shut_down))


class JackStream:
    """Our client: an `rtsep.audio.backend.AudioStream`."""

    def __init__(
        self, mixer: EngineMixer, inputs: int, outputs: list[str], latency: int, client: ClientOptions
    ) -> None:
        """Join the server with ports `in_0`, `in_1` ... and `outputs`; it is told of `latency` frames.

        Ports that `client.cables` names are connected to what it says, and to nothing else. Raises
        `DeviceError`.
        """
        self._memory = mixer  # must outlive the stream
        self._connect, self._cables = client.connect, client.cables
        self._plugged = False
        self._slots = np.zeros(_SLOTS, np.int64)
        try:
            self._client = jack_ports.open_client(client.name)
        except Exception:
            raise DeviceError("the JACK server does not answer; is it still running?") from None
        try:
            period = int(self._client.blocksize)
            self._inputs = [self._client.inports.register(f"in_{k}") for k in range(inputs)]
            self._outputs = [self._client.outports.register(name) for name in outputs]
        except Exception as error:
            self.close()
            raise DeviceError(f"the JACK server refuses our ports ({error})") from None
        self._blocks = [np.zeros((period, max(1, n)), np.float32) for n in (inputs, len(outputs))]
        slots = self._slots
        slots[_MIXER] = mixer.slots.ctypes.data
        slots[_PERIOD], slots[_LATENCY] = period, latency
        slots[_IN_BLOCK], slots[_OUT_BLOCK] = (block.ctypes.data for block in self._blocks)
        slots[_INPUTS], slots[_OUTPUTS] = inputs, len(outputs)
        for k, port in enumerate(self._inputs + self._outputs):
            slots[_PORTS + k] = jack_ports.address(port)

    @property
    def lost(self) -> str | None:
        """Why it plays no more, as the server has told; None while it plays."""
        return _REASONS.get(int(acquire(self._slots, _LOST)))

    def start(self) -> None:
        """Let the calls come, and connect."""
        libjack = ctypes.CDLL(jack_ports.library())
        us = ctypes.c_void_p(jack_ports.address(self._client))
        for function, callback in (
            (libjack.jack_set_process_callback, _process),
            (libjack.jack_set_buffer_size_callback, _period_is),
            (libjack.jack_set_xrun_callback, _xrun),
            (libjack.jack_set_latency_callback, _latency_is),
            (libjack.jack_on_shutdown, _shut_down),
        ):
            function(us, ctypes.c_void_p(callback.address), ctypes.c_void_p(self._slots.ctypes.data))
        try:
            self._client.activate()
        except Exception:
            raise DeviceError("the JACK server does not let us play; is it still running?") from None
        self._plugged = True
        with contextlib.suppress(Exception):
            captures = self._client.get_ports(is_audio=True, is_physical=True, is_output=True)
            playbacks = self._client.get_ports(is_audio=True, is_physical=True, is_input=True)
            self._plug(self._inputs, [port.name for port in captures])
            self._plug(self._outputs, [port.name for port in playbacks])
        release(self._slots, _PLAYS, 1)

    def _plug(self, own: list[Any], physical: list[str]) -> None:
        for k, port in enumerate(own):
            others = self._cables.get(port.shortname, physical[k : k + 1] if self._connect else [])
            for other in others:
                with contextlib.suppress(Exception):  # gone meanwhile; or someone else is patching, too
                    self._client.connect(*((other, port) if port.is_input else (port, other)))

    def tell_latency(self, latency: int) -> None:
        """Tell the server what we add from now on, and with it a DAW that makes up for it."""
        self._slots[_LATENCY] = latency
        client = ctypes.c_void_p(jack_ports.address(self._client))
        ctypes.CDLL(jack_ports.library()).jack_recompute_total_latencies(client)

    def close(self) -> bool:
        """Leave the server; returns False where it never lets us, and the client had to be left behind."""
        return close_or_leave(self, self._leave)

    def _leave(self) -> None:
        for port in self._inputs + self._outputs if self._plugged else []:
            self._cables.pop(port.shortname, None)
            if self.lost != _REASONS[_SHUT_DOWN]:  # else all of them have gone
                with contextlib.suppress(Exception):
                    others = self._client.get_all_connections(port)
                    self._cables[port.shortname] = [other.name for other in others]
        self._client.close()
