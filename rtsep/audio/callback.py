"""What an audio callback does for an engine, compiled: copies between the device's block and its rings.

Runs on the sound system's thread (or the virtual device's). Takes no lock and no GIL, allocates nothing,
waits for nothing; it counts, and wakes the hop loop. `rtsep.audio.engine_mixer` says for which engine.

Block: the device's, any length. Stream delay 0: what the rings add is in the engine's `LatencyBudget`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rtsep.audio import rings as r
from rtsep.realtime import clock, wake
from rtsep.realtime.atomics import fence, load_acquire, store_release


@njit(cache=True, nogil=True)
def take_input(slots: np.ndarray, device_block: int, frames: int, lost: int) -> None:
    """Copy `frames` frames from the address `device_block` into the input ring.

    `lost` is not 0 where the device has lost input before this call.
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
    """Let `frames` frames of a played file, which its reader has put into the ring, arrive."""
    now = clock.now_ns(slots[r.IN_SCRATCH : r.IN_SCRATCH + 2])
    start = slots[r.IN_WRITE]
    ready = load_acquire(slots, r.SOURCE_WRITE)
    if start + frames > ready:  # late, or over: silence
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
    store_release(slots, r.IN_BASE_NS, now - written * 1_000_000_000 // slots[r.RATE])
    store_release(slots, r.IN_WRITE, written)
    fence()  # the hop loop stores NEXT_HOP_AT, then looks at IN_WRITE; one of us must see the other
    if written >= load_acquire(slots, r.NEXT_HOP_AT):
        wake.post(slots[r.HOP_SIGNAL])


@njit(cache=True, nogil=True)
def give_output(slots: np.ndarray, device_block: int, frames: int, ran_dry: int) -> None:
    """Copy `frames` frames from the output ring to the address `device_block`; silence where it is late.

    `ran_dry` is not 0 where the device had nothing to play before this call.
    """
    now = clock.now_ns(slots[r.OUT_SCRATCH : r.OUT_SCRATCH + 2])
    ring_frames, channels = slots[r.RING_FRAMES], slots[r.OUT_CHANNELS]
    ring, target = r.output_ring(slots), r.frames_at(device_block, frames, channels)
    start = slots[r.OUT_READ]
    there = min(frames, max(0, load_acquire(slots, r.OUT_WRITE) - start))
    for i in range(there):
        row = (start + i) & (ring_frames - 1)
        for c in range(channels):
            target[i, c] = ring[row, c]
    for i in range(there, frames):
        for c in range(channels):
            target[i, c] = np.float32(0)
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
    store_release(slots, r.OUT_BASE_NS, now - start * 1_000_000_000 // slots[r.OUT_RATE])
    store_release(slots, r.OUT_READ, start + frames)
