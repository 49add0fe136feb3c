"""The work of an audio callback for an engine, compiled: copies between the device's block and the rings.

It runs on the thread of the sound system or of the virtual device. It takes no lock and no GIL, allocates
nothing and never waits; it counts, and wakes the hop loop. `rtsep.audio.engine_mixer` selects the engine.

Block: the device's, any length. Stream delay 0: the `LatencyBudget` of the engine includes the rings.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rtsep.audio import bursts, rings
from rtsep.audio.prefill import CHOSEN, chosen_slack, prefill
from rtsep.realtime import clock, wake
from rtsep.realtime.atomics import fence, load_acquire, store_release

FADE_S = 0.005
"""Duration of the fade between two layouts of the output, in seconds."""

SETTLED_S = 0.2
"""Time in seconds after which smaller calls count as the new size, so that less is kept ready."""


@njit(cache=True, nogil=True)
def take_input(state: np.ndarray, device_block: int, frames: int, lost: int) -> None:
    """Copy `frames` frames from the address `device_block` into the input ring.

    `lost` is not 0 if the device has lost input before this call.
    """
    now = clock.now_ns(state[rings.IN_SCRATCH : rings.IN_SCRATCH + 2])
    ring_frames, channels = state[rings.RING_FRAMES], state[rings.IN_CHANNELS]
    ring, chosen = rings.input_ring(state), rings.input_map(state)
    source = rings.frames_at(device_block, frames, state[rings.IN_DEVICE_CHANNELS])
    start = state[rings.IN_WRITE]
    for i in range(frames):
        row = (start + i) & (ring_frames - 1)
        for c in range(channels):
            ring[row, c] = source[i, chosen[c]]
    if lost != 0:
        state[rings.IN_OVERFLOWS] += 1
    _input_arrived(state, start + frames, now)


@njit(cache=True, nogil=True)
def take_source(state: np.ndarray, frames: int) -> None:
    """Take `frames` frames of a played file, which its reader has put into the ring, as input."""
    now = clock.now_ns(state[rings.IN_SCRATCH : rings.IN_SCRATCH + 2])
    start = state[rings.IN_WRITE]
    ready = load_acquire(state, rings.SOURCE_WRITE)
    if start + frames > ready:  # late, or after the end: silence
        ring_frames, channels = state[rings.RING_FRAMES], state[rings.IN_CHANNELS]
        ring = rings.input_ring(state)
        for i in range(max(start, ready), start + frames):
            for c in range(channels):
                ring[i & (ring_frames - 1), c] = np.float32(0)
        missed = min(start + frames, load_acquire(state, rings.SOURCE_END)) - max(start, ready)
        state[rings.SOURCE_STARVED] += max(0, missed)
    _input_arrived(state, start + frames, now)


@njit(cache=True, nogil=True)
def _input_arrived(state: np.ndarray, written: int, now: int) -> None:
    state[rings.IN_CALLS] += 1
    frames = written - state[rings.IN_WRITE]
    base = now - clock.frames_to_ns(written, state[rings.RATE])
    bursts.measure_call(state, rings.IN_BURSTS, base, frames, state[rings.RATE])
    store_release(state, rings.IN_BASE_NS, base)
    store_release(state, rings.IN_WRITE, written)
    fence()  # The hop loop stores NEXT_HOP_AT, then reads IN_WRITE; one of the two must see the other's store
    if written >= load_acquire(state, rings.NEXT_HOP_AT):
        wake.post(state[rings.HOP_SIGNAL])


@njit(cache=True, nogil=True)
def give_output(state: np.ndarray, device_block: int, frames: int, ran_dry: int) -> None:
    """Copy `frames` frames from the output ring to the address `device_block`; silence if it is late.

    `ran_dry` is not 0 if the device had nothing to play before this call. A device may change the size of its
    calls at any time.
    """
    now = clock.now_ns(state[rings.OUT_SCRATCH : rings.OUT_SCRATCH + 2])
    ring_frames, channels = state[rings.RING_FRAMES], state[rings.OUT_CHANNELS]
    ring, target = rings.output_ring(state), rings.frames_at(device_block, frames, channels)
    start = state[rings.OUT_READ]
    _lay_out(state, start, frames)
    first = start - state[rings.OUT_LAG]  # in the ring
    there = min(frames, max(0, load_acquire(state, rings.OUT_WRITE) - first))
    for i in range(there):
        row = (first + i) & (ring_frames - 1)
        for c in range(channels):
            target[i, c] = ring[row, c]
    for i in range(there, frames):
        for c in range(channels):
            target[i, c] = np.float32(0)
    if state[rings.OUT_FADE] > 0:
        _fade(state, target, start - state[rings.OUT_LAG_BEFORE])
    if there < frames:
        state[rings.UNDERRUNS] += 1
        state[rings.UNDERRUN_FRAMES] += frames - there
    if ran_dry != 0:
        state[rings.OUT_UNDERFLOWS] += 1
    if state[rings.OUT_CALLS] > 0:
        state[rings.CALL_GAP_MAX_NS] = max(state[rings.CALL_GAP_MAX_NS], now - state[rings.OUT_LAST_NS])
    state[rings.OUT_CALLS] += 1
    state[rings.OUT_FRAMES] = frames
    store_release(state, rings.OUT_LAST_NS, now)
    base = now - clock.frames_to_ns(start, state[rings.OUT_RATE])
    bursts.measure_call(state, rings.OUT_BURSTS, base, frames, state[rings.OUT_RATE])
    store_release(state, rings.OUT_BASE_NS, base)
    store_release(state, rings.OUT_READ, start + frames)


@njit(cache=True, nogil=True)
def _count(state: np.ndarray, slot: int, frames: int, rate: int) -> int:
    """Count a call of `frames` frames; return the block size to use from now on, or 0 while that is open.

    `slot` holds the current size; a larger call raises it at once. The next two state hold the largest call
    and the total frames since smaller calls began, for SETTLED_S. For calls of mixed sizes, a slightly
    smaller maximum changes nothing, because the next one may be larger again.
    """
    if frames > state[slot]:
        state[slot + 1] = state[slot + 2] = 0
        return frames
    state[slot + 1] = max(state[slot + 1], frames)
    state[slot + 2] += frames
    if state[slot + 2] < SETTLED_S * rate:
        return 0
    largest, mixed = state[slot + 1], state[slot + 2] % state[slot + 1] != 0
    state[slot + 1] = state[slot + 2] = 0
    return state[slot] if mixed and 4 * largest > 3 * state[slot] else largest


@njit(cache=True, nogil=True)
def _lay_out(state: np.ndarray, start: int, frames: int) -> None:
    """Keep enough output ready for calls of `frames` frames; `start` is the first frame of this call.

    If more is needed, playback continues at once from further back, as the ring still holds played frames.
    Less is kept ready only after smaller calls have become the rule.
    """
    before = state[rings.BLOCK]
    if state[rings.OUT_CALLS] > 0 and frames != state[rings.OUT_FRAMES]:
        state[rings.OUT_MIXED] = 1
    block = _count(state, rings.BLOCK, frames, state[rings.OUT_RATE])
    settled, mixed = 0 < block <= before, state[rings.OUT_MIXED] != 0
    if settled:
        state[rings.OUT_MIXED] = 0
    if state[rings.PREFILL] > 0:  # else two clocks: the hop loop steers to another distance
        waiting = start - load_acquire(state, rings.IN_READ)
        if block == 0:
            if not mixed or _suffices(state, frames, waiting):
                return
            block = before  # worst case for calls of mixed sizes
            waiting = state[rings.MAX_HOP] - 1
        elif settled and mixed:
            waiting = state[rings.MAX_HOP] - 1
        wanted = prefill(state[rings.HOP], state[rings.MAX_HOP], state[rings.SLACK], block, waiting)
        if not _play_from(state, wanted - state[rings.PREFILL], start, frames, settled, mixed):
            return
    if block > 0:
        store_release(state, rings.BLOCK, block)


@njit(cache=True, nogil=True)
def _suffices(state: np.ndarray, frames: int, waiting: int) -> bool:
    """Return whether the output kept ready is enough for a call of `frames` frames without using slack.

    `waiting` are the frames before it that do not yet fill a hop, or several hops.
    """
    if state[rings.HOP] == 0:
        return True
    slack = (
        chosen_slack(state[rings.MAX_HOP], state[rings.BLOCK])
        if state[rings.SLACK] == CHOSEN
        else state[rings.SLACK]
    )
    return state[rings.PREFILL] + state[rings.OUT_LAG] - slack >= frames + waiting % state[rings.HOP]


@njit(cache=True, nogil=True)
def _play_from(state: np.ndarray, lag: int, start: int, frames: int, settled: bool, mixed: bool) -> bool:
    """Play with `lag` from now on, after a fade; return False if it is too early for that."""
    before, written = state[rings.OUT_LAG], load_acquire(state, rings.OUT_WRITE)
    if lag < before and (not settled or written + lag < start + frames):
        return False
    if lag == before or (lag > before and settled and mixed):  # mixed sizes raise the lag when they need it
        return True
    state[rings.OUT_LAG_BEFORE] = before
    state[rings.OUT_FADE] = max(0, min(int(FADE_S * state[rings.OUT_RATE]), written + before - start))
    state[rings.OUT_FADED] = 0
    store_release(state, rings.OUT_LAG, lag)
    return True


@njit(cache=True, nogil=True)
def _fade(state: np.ndarray, target: np.ndarray, first: int) -> None:
    """Fade to `target` [frames, channels] from the ring's content from `first` on."""
    ring_frames, ring = state[rings.RING_FRAMES], rings.output_ring(state)
    length, faded = state[rings.OUT_FADE], state[rings.OUT_FADED]
    count = min(target.shape[0], length - faded)
    for i in range(count):
        row = (first + i) & (ring_frames - 1)
        gain = np.float32((faded + i + 1) / (length + 1))
        for c in range(target.shape[1]):
            target[i, c] = ring[row, c] + gain * (target[i, c] - ring[row, c])
    state[rings.OUT_FADED] = faded + count
    if faded + count == length:
        state[rings.OUT_FADE] = 0
