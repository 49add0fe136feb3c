"""The JACK callbacks of a stream, compiled. Importing this module needs libjack.

All callbacks are compiled, even rare ones: a Python callback would need the GIL, whose holder may wait for
the server, which waits for the callback. No callback closes anything. None waits, except in freewheel mode,
where the server waits for its clients: there a call waits for the hops that it plays.

The server may change its period and its rate at any time. The engine adapts to the size of the calls by
itself. At another rate the output fades out, and the session continues with another engine. There is no
callback for either: PipeWire's libjack would skip cycles until that callback returned.
"""

from __future__ import annotations

import ctypes

import llvmlite.binding
import numpy as np
from numba import carray, cfunc, njit, types

from rtsep.audio import jack_ports, rings
from rtsep.audio.engine_mixer import (
    FADE_OUT,
    INCOMING,
    current_engine,
    mixer_at,
    plays_a_file,
    process_input,
    process_output,
    serving_mixer,
)
from rtsep.realtime import clock
from rtsep.realtime.atomics import address_of, as_address, as_pointer, load_acquire, store_release

libjack = ctypes.CDLL(jack_ports.library())  # each uses its own: PortAudio may have loaded another one
for _name in (
    "jack_port_get_buffer",
    "jack_port_get_latency_range",
    "jack_port_set_latency_range",
    "jack_get_sample_rate",
):
    llvmlite.binding.add_symbol(_name, ctypes.cast(getattr(libjack, _name), ctypes.c_void_p).value)
_port_buffer = types.ExternalFunction("jack_port_get_buffer", types.int64(types.int64, types.uint32))
_LATENCY_RANGE = types.void(types.int64, types.int32, types.voidptr)
_get_latency = types.ExternalFunction("jack_port_get_latency_range", _LATENCY_RANGE)
_set_latency = types.ExternalFunction("jack_port_set_latency_range", _LATENCY_RANGE)
_sample_rate = types.ExternalFunction("jack_get_sample_rate", types.uint32(types.int64))

# Slots of a stream.
MIXER = 0  # address of the mixer
MAX_BLOCK = 1  # capacity of the blocks in frames
LOST = 2  # SHUT_DOWN: it has stopped
LATENCY = 3  # frames from rtsep's inputs to its outputs
RANGE = 4  # a jack_latency_range_t: uint32 min, max
IN_BLOCK = 5  # address of float32 [MAX_BLOCK, inputs]
OUT_BLOCK = 6  # address of float32 [MAX_BLOCK, outputs]
INPUTS = 7  # number of inputs
OUTPUTS = 8
PLAYS = 9  # 1: it plays; before that, its ports are being connected one by one
CLIENT = 10  # address of the jack_client_t
RATE = 11  # Hz, of the engine
NEW_RATE = 12  # Hz of the server if it differs; 0: it does not
STEADY = 13  # frames since the period changed
LAST = 14  # frames of the last call
FREEWHEEL = 15  # 1: the server does not keep time
STALE = 16  # [2] by CAPTURE and PLAYBACK: number of requests to set the latency of rtsep's ports
SCRATCH = 18  # [2]
PORTS = 20  # addresses of the inputs, then of the outputs
MAX_PORTS = 128
STATE_SIZE = PORTS + MAX_PORTS

SHUT_DOWN = 1

CAPTURE, PLAYBACK = 0, 1
"""Latency modes of JACK. JackCaptureLatency: the age of a port's signal; JackPlaybackLatency: the time until
it is played."""

AWAIT_NS = 4_000_000_000
"""Maximum wait of a call in freewheel mode for its hops, or for its frames of a played file."""

_LOOK_EVERY_NS = 20_000

HIGHEST_RATE = 1_000_000
"""Highest plausible rate in Hz; libjack returns more while the rate is still unknown."""


@njit(inline="always")
def _stream_at(address: int) -> np.ndarray:
    """Return the state of a stream, int64 [STATE_SIZE], at their address."""
    return carray(as_pointer(address), (STATE_SIZE,), np.int64)


@njit(cache=True, nogil=True)
def _samples(port: int, frames: int) -> np.ndarray:
    """Return the samples [frames] of a port in this call."""
    return carray(as_pointer(_port_buffer(port, frames)), (frames,), np.float32)


@njit(cache=True, nogil=True)
def _wait_for_us(mixer: np.ndarray, waits: int) -> None:
    """Inform the engines whether the server waits for them."""
    serving = serving_mixer(mixer)
    current_engine(mixer)[rings.PATIENT] = waits
    coming = load_acquire(serving, INCOMING)
    if coming != 0:
        rings.state_at(coming)[rings.PATIENT] = waits


@njit(cache=True, nogil=True)
def _await_source(engine: np.ndarray, frames: int, scratch: np.ndarray) -> None:
    """Wait until `frames` more frames of the played file are read, or it ends; at most AWAIT_NS."""
    until = clock.now_ns(scratch) + AWAIT_NS
    end = engine[rings.IN_WRITE] + frames
    while load_acquire(engine, rings.SOURCE_WRITE) < min(end, load_acquire(engine, rings.SOURCE_END)):
        if clock.now_ns(scratch) > until:
            return
        clock.sleep_ns(_LOOK_EVERY_NS, scratch)


@njit(cache=True, nogil=True)
def _await_hops(engine: np.ndarray, frames: int, scratch: np.ndarray) -> None:
    """Wait until the next `frames` frames of the output are ready; at most AWAIT_NS."""
    until = clock.now_ns(scratch) + AWAIT_NS
    while load_acquire(engine, rings.OUT_WRITE) + engine[rings.OUT_LAG] < engine[rings.OUT_READ] + frames:
        if clock.now_ns(scratch) > until:
            return
        clock.sleep_ns(_LOOK_EVERY_NS, scratch)


@cfunc(types.int32(types.uint32, types.voidptr), nopython=True, cache=True)
def process(frames, user):  # type: ignore[no-untyped-def]
    """Process callback (JackProcessCallback); `user` is the address of a stream's state, here and below."""
    state = _stream_at(as_address(user))
    mixer = mixer_at(state[MIXER])
    inputs, outputs, count = state[INPUTS], state[OUTPUTS], np.int64(frames)
    state[STEADY] = state[STEADY] + count if count == state[LAST] else 0
    state[LAST] = count
    if load_acquire(state, PLAYS) == 0 or count > state[MAX_BLOCK]:
        for k in range(outputs):
            _samples(state[PORTS + inputs + k], count)[:] = 0
        return np.int32(0)
    rate = np.int64(_sample_rate(state[CLIENT]))
    if rate != load_acquire(state, RATE) and 0 < rate < HIGHEST_RATE:
        store_release(state, NEW_RATE, rate)
        store_release(serving_mixer(mixer), FADE_OUT, 1)
    waits = load_acquire(state, FREEWHEEL)
    from_file = inputs == 0 and plays_a_file(mixer)
    _wait_for_us(mixer, waits)
    if waits != 0 and from_file:
        _await_source(current_engine(mixer), count, state[SCRATCH : SCRATCH + 2])
    if inputs > 0:
        taken = rings.frames_at(state[IN_BLOCK], count, inputs)
        for k in range(inputs):
            captured = _samples(state[PORTS + k], count)
            for i in range(count):
                taken[i, k] = captured[i]
        process_input(mixer, state[IN_BLOCK], count, 0)
        store_release(current_engine(mixer), rings.IN_BLOCK, count)
    elif from_file:
        process_input(mixer, 0, count, 0)
    if outputs > 0:
        if waits != 0:
            _await_hops(current_engine(mixer), count, state[SCRATCH : SCRATCH + 2])
        process_output(mixer, state[OUT_BLOCK], count, 0)
        given = rings.frames_at(state[OUT_BLOCK], count, outputs)
        for k in range(outputs):
            played = _samples(state[PORTS + inputs + k], count)
            for i in range(count):
                played[i] = given[i, k]
    return np.int32(0)


@cfunc(types.void(types.voidptr), nopython=True, cache=True)
def shut_down(user):  # type: ignore[no-untyped-def]
    """Shutdown callback (JackShutdownCallback)."""
    store_release(_stream_at(as_address(user)), LOST, SHUT_DOWN)


@cfunc(types.void(types.int32, types.voidptr), nopython=True, cache=True)
def freewheel(starting, user):  # type: ignore[no-untyped-def]
    """Freewheel callback (JackFreewheelCallback)."""
    store_release(_stream_at(as_address(user)), FREEWHEEL, 1 if starting != 0 else 0)


@cfunc(types.int32(types.voidptr), nopython=True, cache=True)
def xrun(user):  # type: ignore[no-untyped-def]
    """Xrun callback (JackXRunCallback)."""
    stream = _stream_at(as_address(user))
    state = current_engine(mixer_at(stream[MIXER]))
    # the process callback does not write these
    state[rings.IN_OVERFLOWS if stream[INPUTS] > 0 else rings.OUT_UNDERFLOWS] += 1
    return np.int32(0)


@njit(cache=True, nogil=True)
def set_latency(state: np.ndarray, mode: int) -> None:
    """Set the latency of rtsep's ports, CAPTURE or PLAYBACK, from the ports connected to them."""
    inputs, outputs = state[INPUTS], state[OUTPUTS]
    forth = mode == CAPTURE
    first_read, read_count = (0, inputs) if forth else (inputs, outputs)
    first_set, set_count = (inputs, outputs) if forth else (0, inputs)
    where = as_pointer(address_of(state, RANGE))
    low, high = np.int64(-1), np.int64(0)
    for k in range(read_count):
        _get_latency(state[PORTS + first_read + k], np.int32(mode), where)
        least, most = state[RANGE] & 0xFFFFFFFF, state[RANGE] >> 32
        low = least if low < 0 else min(low, least)
        high = max(high, most)
    state[RANGE] = (max(low, 0) + state[LATENCY]) | (high + state[LATENCY]) << 32
    for k in range(set_count):
        _set_latency(state[PORTS + first_set + k], np.int32(mode), where)


@cfunc(types.void(types.int32, types.voidptr), nopython=True, cache=True)
def latency_now(mode, user):  # type: ignore[no-untyped-def]
    """Latency callback for jackd: report rtsep's latency, so that a DAW can compensate for it."""
    set_latency(_stream_at(as_address(user)), np.int64(mode))


@cfunc(types.void(types.int32, types.voidptr), nopython=True, cache=True)
def latency_later(mode, user):  # type: ignore[no-untyped-def]
    """Latency callback for PipeWire: request the report from the stream's owner.

    PipeWire's libjack calls this with a lock held. Setting a latency makes it handle other waiting events,
    such as a change of the period, which takes that lock: this would deadlock and stop the cycles.
    """
    state = _stream_at(as_address(user))
    at = STALE + np.int64(mode)
    store_release(state, at, load_acquire(state, at) + 1)


def compile_callbacks() -> None:
    """Compile the callbacks, or load them from the cache; the import of this module has done most of it."""
    assert all(call.address for call in (process, xrun, latency_now, latency_later, freewheel, shut_down))
    set_latency(np.zeros(STATE_SIZE, np.int64), CAPTURE)
