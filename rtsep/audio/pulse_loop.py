"""The thread of a PulseAudio stream, compiled: it runs libpulse's main loop and calls the mixer in between.

A sound server takes its input in bursts as long as the latency of its device. Called in bursts, an engine
would need that much slack. Therefore playback is paced: the server gets blocks one by one, by rtsep's clock,
which is controlled so that the server's buffer never sinks below a margin. Input is passed on at once; an
engine with two clocks accounts for its fragments.

Between the two functions of the mixer, nothing waits or allocates. libpulse itself does both, on this thread,
between blocks.

Block: the stream's (output), or as the server sends it (input). Stream delay: see `pulse_backend`.
"""

from __future__ import annotations

import llvmlite.binding
import numpy as np
from numba import carray, njit, types

from rtsep.audio import rings
from rtsep.audio.engine_mixer import current_engine, mixer_at, plays_a_file, process_input, process_output
from rtsep.audio.pulse_library import LIBRARY, READY, STREAM_READY
from rtsep.realtime import clock
from rtsep.realtime.atomics import address_of, as_pointer, load_acquire, store_release

llvmlite.binding.load_library_permanently(LIBRARY)
_i32, _i64, _u64 = types.int32, types.int64, types.uint64
_prepare = types.ExternalFunction("pa_mainloop_prepare", _i32(_i64, _i32))
_poll = types.ExternalFunction("pa_mainloop_poll", _i32(_i64))
_dispatch = types.ExternalFunction("pa_mainloop_dispatch", _i32(_i64))
_context_state = types.ExternalFunction("pa_context_get_state", _i32(_i64))
_stream_state = types.ExternalFunction("pa_stream_get_state", _i32(_i64))
_writable_size = types.ExternalFunction("pa_stream_writable_size", _u64(_i64))
_write = types.ExternalFunction("pa_stream_write", _i32(_i64, _i64, _u64, _i64, _i64, _i32))
_peek = types.ExternalFunction("pa_stream_peek", _i32(_i64, types.voidptr, types.voidptr))
_drop = types.ExternalFunction("pa_stream_drop", _i32(_i64))
_buffer_attributes = types.ExternalFunction("pa_stream_get_buffer_attr", _i64(_i64))
_device_index = types.ExternalFunction("pa_stream_get_device_index", types.uint32(_i64))

# State of a stream. The front writes RUN, and the words before it at the start; the thread writes the rest.
LOOP, CONTEXT, STREAM = 0, 1, 2  # addresses
MIXER = 3
CHANNELS = 4
RUN = 8
BARRED = 9  # playback: number of the sink that gets silence, because rtsep captures it; -1: none
ONLY = 10  # capture: number of the only accepted source, others give silence; -1: all are accepted
LOST = 16  # a key of `rtsep.audio.pulse_stream.REASONS`; 0 while it plays
DEVICE = 17  # the server's number of the sink or source
_SCRATCH = 24  # [2] for clock and libpulse
_POINTER, _SIZE = 26, 27
STATE_SIZE = 32

SERVER_GONE, STREAM_GONE = 1, 2

WINDOW_S = 1.0
"""Time in seconds over which the lowest fill is measured before the pace is changed."""

STEADY_S = 0.5
"""Time in seconds that a stream needs to find its pace. Until then, playback gives silence, and captured
audio is dropped: an engine with two clocks sets its distance by the first calls, and a wrong one takes half a
minute to correct."""

PACE_LIMIT = 0.01
"""Maximum relative deviation of the clock from its nominal rate."""

_PULL, _PULL_LONG = 0.3, 0.005  # share of the error in seconds, at once and lasting
_STEP_S = 0.004  # a distance that is off by this is reset at once, in the first window
_STALL_NS = 500_000_000  # a longer stop of this thread is not caught up
_REST_US = 20_000
_NONE = np.int64(1) << 40  # above every fill


@njit(cache=True, nogil=True)
def _turn(state: np.ndarray, microseconds: int) -> bool:
    """Let libpulse work for at most `microseconds`; return False if the stream has ended."""
    loop = state[LOOP]
    rest = np.int32(min(max(microseconds, 0), _REST_US))
    alive = _prepare(loop, rest) >= 0 and _poll(loop) >= 0 and _dispatch(loop) >= 0
    if not alive or _context_state(state[CONTEXT]) != READY:
        store_release(state, LOST, SERVER_GONE)
        return False
    if _stream_state(state[STREAM]) != STREAM_READY:
        store_release(state, LOST, STREAM_GONE)
        return False
    store_release(state, DEVICE, np.int64(_device_index(state[STREAM])))
    return True


@njit(cache=True, nogil=True)
def _give(state: np.ndarray, block: np.ndarray, frames: int) -> None:
    """Write the first `frames` frames of `block`, float32 [frames, channels]; libpulse copies them."""
    size = np.uint64(4 * state[CHANNELS] * frames)
    _write(state[STREAM], np.int64(block.ctypes.data), size, 0, 0, np.int32(0))


@njit(cache=True, nogil=True)
def _give_silence(state: np.ndarray, silence: np.ndarray, frames: int) -> None:
    while frames > 0:
        part = min(frames, silence.shape[0])
        _give(state, silence, part)
        frames -= part


@njit(cache=True, nogil=True)
def _buffer_frames(state: np.ndarray) -> int:
    """Return the fill of the server's buffer in frames, without its device's buffer."""
    granted = carray(as_pointer(_buffer_attributes(state[STREAM])), (5,), np.uint32)
    return np.int64(granted[1]) // (4 * state[CHANNELS])


@njit(cache=True, nogil=True)
def _fill(state: np.ndarray, buffer: int) -> int:
    """Return the frames that the server has ready; negative if it has played silence."""
    return buffer - np.int64(_writable_size(state[STREAM])) // (4 * state[CHANNELS])


@njit(cache=True, nogil=True)
def lowest_fill(margin: int, room: int, span: int, before: tuple[int, int, int]) -> int:
    """Return the target for the lowest fill in frames: `margin`, or less if that does not fit.

    `room`: the server's buffer in frames, less a block. `span`: variation of the fill in the last window;
    `before`: in earlier windows. The variation common to all is the server's normal behaviour. A stall of the
    machine affects only one window: making room for it would leave nothing ready for the next stall.
    """
    return min(margin, room - min(span, before[0], before[1], before[2]))


@njit(cache=True, nogil=True)
def run_playback(state: np.ndarray, block: np.ndarray, silence: np.ndarray, rate: float, margin: int) -> None:
    """Send `block` [frames, channels] to the server every `frames / rate` seconds until RUN is cleared.

    `margin`: minimum of frames that the server has ready when the next block is written. Calls begin when the
    server takes the first silence: if its device sleeps, that may take seconds.
    """
    mixer = mixer_at(state[MIXER])
    scratch = state[_SCRATCH : _SCRATCH + 2]
    frames = block.shape[0]
    nominal = frames * 1e9 / rate
    if load_acquire(state, RUN) != 1:
        return
    buffer = _buffer_frames(state)
    _give_silence(state, silence, buffer - _fill(state, buffer))
    while _fill(state, buffer) >= buffer:
        if load_acquire(state, RUN) != 1 or not _turn(state, _REST_US):
            return
        buffer = _buffer_frames(state)
    pace, lasting, first = 1.0, 0.0, True
    spans = (_NONE, _NONE, _NONE)
    due = float(clock.now_ns(scratch))
    until = due + STEADY_S * 1e9
    low, high = _NONE, -_NONE
    while load_acquire(state, RUN) == 1:
        if not _turn(state, int((due - clock.now_ns(scratch)) / 1000.0)):
            return
        now = float(clock.now_ns(scratch))
        if now - due > _STALL_NS:
            due = now
        while due <= now and load_acquire(state, RUN) == 1:
            if _fill(state, buffer) + frames > buffer + frames // 2:
                due = now + nominal / 4  # the server takes nothing, so this loop waits as well
                break
            if first:
                _give_silence(state, silence, frames)
            else:
                if plays_a_file(mixer):
                    process_input(mixer, 0, frames, 0)
                process_output(mixer, np.int64(block.ctypes.data), frames, 0)
                if state[DEVICE] == state[BARRED]:
                    _give_silence(state, silence, frames)
                else:
                    _give(state, block, frames)
            due += nominal * pace
        fill = _fill(state, buffer)
        if fill <= 0:
            # An underrun: silence was played, and more silence restores the fill.
            _give_silence(state, silence, margin - fill)
            if not first:
                current_engine(mixer)[rings.OUT_UNDERFLOWS] += 1
            low, high, until = _NONE, -_NONE, now + WINDOW_S * 1e9
            continue
        even = fill - int((due - now) * 1e-9 * rate)  # as if frames were written one by one
        low, high = min(low, even), max(high, even)
        if now < until:
            continue
        buffer = _buffer_frames(state)
        target = lowest_fill(margin, buffer - frames, high - low, spans)
        spans = (high - low, spans[0], spans[1])
        error = (low - target) / rate
        if first and abs(error) > _STEP_S:
            if error > 0:
                due += error * 1e9
            else:
                _give_silence(state, silence, target - low)
        else:
            lasting = min(max(lasting + _PULL_LONG * error, -PACE_LIMIT / 2), PACE_LIMIT / 2)
            pace = 1.0 + min(max(_PULL * error + lasting, -PACE_LIMIT), PACE_LIMIT)
        first = False
        low, high, until = _NONE, -_NONE, now + WINDOW_S * 1e9


@njit(cache=True, nogil=True)
def run_capture(state: np.ndarray, silence: np.ndarray) -> None:
    """Pass the server's input to the mixer until RUN is cleared.

    `silence` [frames, channels] replaces frames that the server has lost, and all input from sources except
    ONLY.
    """
    mixer = mixer_at(state[MIXER])
    scratch = state[_SCRATCH : _SCRATCH + 2]
    steady_at = np.int64(0)
    pointer, size = as_pointer(address_of(state, _POINTER)), as_pointer(address_of(state, _SIZE))
    while load_acquire(state, RUN) == 1 and _turn(state, _REST_US):
        while _peek(state[STREAM], pointer, size) == 0 and state[_SIZE] > 0:
            frames = state[_SIZE] // (4 * state[CHANNELS])
            if steady_at == 0:
                steady_at = clock.now_ns(scratch) + int(STEADY_S * 1e9)
            if clock.now_ns(scratch) < steady_at:
                frames = np.int64(0)
            lost = state[_POINTER] == 0
            taken = state[ONLY] < 0 or state[DEVICE] == state[ONLY]
            if frames > 0 and not lost and taken:
                process_input(mixer, state[_POINTER], frames, 0)
            while (lost or not taken) and frames > 0:
                part = min(frames, silence.shape[0])
                process_input(mixer, np.int64(silence.ctypes.data), part, 1 if lost else 0)
                frames -= part
            _drop(state[STREAM])
