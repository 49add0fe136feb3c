"""The work of an audio callback for an engine, compiled: copies between the device's block and the rings.

It runs on the thread of the sound system or of the virtual device. It takes no lock and no GIL, allocates
nothing and never waits; it counts, and wakes the hop loop. `rtsep.audio.engine_mixer` selects the engine.

Block: the device's, any length. Stream delay 0: the `LatencyBudget` of the engine includes the rings.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rtsep.audio import bursts
from rtsep.audio import rings as r
from rtsep.audio.prefill import CHOSEN, chosen_slack, prefill
from rtsep.realtime import clock, wake
from rtsep.realtime.atomics import fence, load_acquire, store_release

FADE_S = 0.005
"""Duration of the fade between two layouts of the output, in seconds."""

SETTLED_S = 0.2
"""Time in seconds after which smaller calls count as the new size, so that less is kept ready."""


@njit(cache=True, nogil=True)
def take_input(slots: np.ndarray, device_block: int, frames: int, lost: int) -> None:
    """Copy `frames` frames from the address `device_block` into the input ring.

    `lost` is not 0 if the device has lost input before this call.
    """
    now = clock.now_ns(slots[r.IN_SCRATCH : r.IN_SCRATCH + 2])
    ring_frames, channels = slots[r.RING_FRAMES], slots[r.IN_CHANNELS]
    ring, chosen = r.input_ring(slots), r.input_map(slots)
    source = r.frames_at(device_block, frames, slots[r.IN_DEVICE_CHANNELS])
    start = slots[r.IN_WRITE]
    for i in range(frames):
        row = (start + i) & (ring_frames - 1)
        for c in range(channels):
            ring[row, c] = source[i, chosen[c]]
    if lost != 0:
        slots[r.IN_OVERFLOWS] += 1
    _input_arrived(slots, start + frames, now)


@njit(cache=True, nogil=True)
def take_source(slots: np.ndarray, frames: int) -> None:
    """Take `frames` frames of a played file, which its reader has put into the ring, as input."""
    now = clock.now_ns(slots[r.IN_SCRATCH : r.IN_SCRATCH + 2])
    start = slots[r.IN_WRITE]
    ready = load_acquire(slots, r.SOURCE_WRITE)
    if start + frames > ready:  # late, or after the end: silence
        ring_frames, channels = slots[r.RING_FRAMES], slots[r.IN_CHANNELS]
        ring = r.input_ring(slots)
        for i in range(max(start, ready), start + frames):
            for c in range(channels):
                ring[i & (ring_frames - 1), c] = np.float32(0)
        missed = min(start + frames, load_acquire(slots, r.SOURCE_END)) - max(start, ready)
        slots[r.SOURCE_STARVED] += max(0, missed)
    _input_arrived(slots, start + frames, now)


@njit(cache=True, nogil=True)
def _input_arrived(slots: np.ndarray, written: int, now: int) -> None:
    slots[r.IN_CALLS] += 1
    frames = written - slots[r.IN_WRITE]
    base = now - clock.frames_to_ns(written, slots[r.RATE])
    bursts.measure_call(slots, r.IN_BURSTS, base, frames, slots[r.RATE])
    store_release(slots, r.IN_BASE_NS, base)
    store_release(slots, r.IN_WRITE, written)
    fence()  # The hop loop stores NEXT_HOP_AT, then reads IN_WRITE; one of the two must see the other's store
    if written >= load_acquire(slots, r.NEXT_HOP_AT):
        wake.post(slots[r.HOP_SIGNAL])


@njit(cache=True, nogil=True)
def give_output(slots: np.ndarray, device_block: int, frames: int, ran_dry: int) -> None:
    """Copy `frames` frames from the output ring to the address `device_block`; silence if it is late.

    `ran_dry` is not 0 if the device had nothing to play before this call. A device may change the size of its
    calls at any time.
    """
    now = clock.now_ns(slots[r.OUT_SCRATCH : r.OUT_SCRATCH + 2])
    ring_frames, channels = slots[r.RING_FRAMES], slots[r.OUT_CHANNELS]
    ring, target = r.output_ring(slots), r.frames_at(device_block, frames, channels)
    start = slots[r.OUT_READ]
    _lay_out(slots, start, frames)
    first = start - slots[r.OUT_LAG]  # in the ring
    there = min(frames, max(0, load_acquire(slots, r.OUT_WRITE) - first))
    for i in range(there):
        row = (first + i) & (ring_frames - 1)
        for c in range(channels):
            target[i, c] = ring[row, c]
    for i in range(there, frames):
        for c in range(channels):
            target[i, c] = np.float32(0)
    if slots[r.OUT_FADE] > 0:
        _fade(slots, target, start - slots[r.OUT_LAG_BEFORE])
    if there < frames:
        slots[r.UNDERRUNS] += 1
        slots[r.UNDERRUN_FRAMES] += frames - there
    if ran_dry != 0:
        slots[r.OUT_UNDERFLOWS] += 1
    if slots[r.OUT_CALLS] > 0:
        slots[r.CALL_GAP_MAX_NS] = max(slots[r.CALL_GAP_MAX_NS], now - slots[r.OUT_LAST_NS])
    slots[r.OUT_CALLS] += 1
    slots[r.OUT_FRAMES] = frames
    store_release(slots, r.OUT_LAST_NS, now)
    base = now - clock.frames_to_ns(start, slots[r.OUT_RATE])
    bursts.measure_call(slots, r.OUT_BURSTS, base, frames, slots[r.OUT_RATE])
    store_release(slots, r.OUT_BASE_NS, base)
    store_release(slots, r.OUT_READ, start + frames)


@njit(cache=True, nogil=True)
def _count(slots: np.ndarray, slot: int, frames: int, rate: int) -> int:
    """Count a call of `frames` frames; return the block size to use from now on, or 0 while that is open.

    `slot` holds the current size; a larger call raises it at once. The next two slots hold the largest call
    and the total frames since smaller calls began, for SETTLED_S. For calls of mixed sizes, a slightly
    smaller maximum changes nothing, because the next one may be larger again.
    """
    if frames > slots[slot]:
        slots[slot + 1] = slots[slot + 2] = 0
        return frames
    slots[slot + 1] = max(slots[slot + 1], frames)
    slots[slot + 2] += frames
    if slots[slot + 2] < SETTLED_S * rate:
        return 0
    largest, mixed = slots[slot + 1], slots[slot + 2] % slots[slot + 1] != 0
    slots[slot + 1] = slots[slot + 2] = 0
    return slots[slot] if mixed and 4 * largest > 3 * slots[slot] else largest


@njit(cache=True, nogil=True)
def _lay_out(slots: np.ndarray, start: int, frames: int) -> None:
    """Keep enough output ready for calls of `frames` frames; `start` is the first frame of this call.

    If more is needed, playback continues at once from further back, as the ring still holds played frames.
    Less is kept ready only after smaller calls have become the rule.
    """
    before = slots[r.BLOCK]
    if slots[r.OUT_CALLS] > 0 and frames != slots[r.OUT_FRAMES]:
        slots[r.OUT_MIXED] = 1
    block = _count(slots, r.BLOCK, frames, slots[r.OUT_RATE])
    settled, mixed = 0 < block <= before, slots[r.OUT_MIXED] != 0
    if settled:
        slots[r.OUT_MIXED] = 0
    if slots[r.PREFILL] > 0:  # else two clocks: the hop loop steers to another distance
        waiting = start - load_acquire(slots, r.IN_READ)
        if block == 0:
            if not mixed or _suffices(slots, frames, waiting):
                return
            block = before  # worst case for calls of mixed sizes
            waiting = slots[r.MOST] - 1
        elif settled and mixed:
            waiting = slots[r.MOST] - 1
        wanted = prefill(slots[r.HOP], slots[r.MOST], slots[r.SLACK], block, waiting)
        if not _play_from(slots, wanted - slots[r.PREFILL], start, frames, settled, mixed):
            return
    if block > 0:
        store_release(slots, r.BLOCK, block)


@njit(cache=True, nogil=True)
def _suffices(slots: np.ndarray, frames: int, waiting: int) -> bool:
    """Return whether the output kept ready is enough for a call of `frames` frames without using slack.

    `waiting` are the frames before it that do not yet fill a hop, or several hops.
    """
    if slots[r.HOP] == 0:
        return True
    slack = chosen_slack(slots[r.MOST], slots[r.BLOCK]) if slots[r.SLACK] == CHOSEN else slots[r.SLACK]
    return slots[r.PREFILL] + slots[r.OUT_LAG] - slack >= frames + waiting % slots[r.HOP]


@njit(cache=True, nogil=True)
def _play_from(slots: np.ndarray, lag: int, start: int, frames: int, settled: bool, mixed: bool) -> bool:
    """Play with `lag` from now on, after a fade; return False if it is too early for that."""
    before, written = slots[r.OUT_LAG], load_acquire(slots, r.OUT_WRITE)
    if lag < before and (not settled or written + lag < start + frames):
        return False
    if lag == before or (lag > before and settled and mixed):  # mixed sizes raise the lag when they need it
        return True
    slots[r.OUT_LAG_BEFORE] = before
    slots[r.OUT_FADE] = max(0, min(int(FADE_S * slots[r.OUT_RATE]), written + before - start))
    slots[r.OUT_FADED] = 0
    store_release(slots, r.OUT_LAG, lag)
    return True


@njit(cache=True, nogil=True)
def _fade(slots: np.ndarray, target: np.ndarray, first: int) -> None:
    """Fade to `target` [frames, channels] from the ring's content from `first` on."""
    ring_frames, ring = slots[r.RING_FRAMES], r.output_ring(slots)
    length, faded = slots[r.OUT_FADE], slots[r.OUT_FADED]
    count = min(target.shape[0], length - faded)
    for i in range(count):
        row = (first + i) & (ring_frames - 1)
        gain = np.float32((faded + i + 1) / (length + 1))
        for c in range(target.shape[1]):
            target[i, c] = ring[row, c] + gain * (target[i, c] - ring[row, c])
    slots[r.OUT_FADED] = faded + count
    if faded + count == length:
        slots[r.OUT_FADE] = 0
