"""How evenly a device calls: measured by the callback, read by the front, which chooses slack by it.

A sound server behind a driver may call several times in a row and then pause. The first of such calls come
early, and each of them wants a block that a device with even calls would ask for later. Slack makes that up.

Each call tells when frame 0 would have been due by it. The spread of these times within a window is how early
calls come, at most. One late call spoils one window: readers take the middle of several. A window in which
the whole process stood still, as in a suspended machine, begins anew.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.realtime.atomics import acquire, store_release
from rtsep.realtime.stops import STOP_NS

WINDOW_S = 0.1
"""Longer than the pause between two bursts of every server that was measured."""

KEPT = 16
"""Windows that are remembered."""

SKIPPED = 2
"""Windows after the start that tell nothing: servers fill their buffers."""

COUNT, LOW, HIGH, FRAMES, SPREADS = 0, 1, 2, 3, 8
SLOT_COUNT = SPREADS + KEPT


@njit(cache=True, nogil=True)
def measure_call(slots: np.ndarray, at: int, base_ns: int, frames: int, rate: int) -> None:
    """Note a call of `frames` frames, by which frame 0 was due at `base_ns`, in the slots from `at` on."""
    if base_ns - slots[at + LOW] > STOP_NS:  # not the device alone: all of us stood still
        slots[at + FRAMES] = 0
    if slots[at + FRAMES] == 0:
        slots[at + LOW] = slots[at + HIGH] = base_ns
    slots[at + LOW] = min(slots[at + LOW], base_ns)
    slots[at + HIGH] = max(slots[at + HIGH], base_ns)
    slots[at + FRAMES] += frames
    if slots[at + FRAMES] >= WINDOW_S * rate:
        slots[at + SPREADS + slots[at + COUNT] % KEPT] = slots[at + HIGH] - slots[at + LOW]
        store_release(slots, at + COUNT, slots[at + COUNT] + 1)
        slots[at + FRAMES] = 0


def read_spread(slots: NDArray[np.int64], at: int, windows: int, share: float) -> float | None:
    """Return how early calls come in seconds, by the last `windows` windows; None while there are fewer.

    `share` of these windows have no larger spread.
    """
    count = int(acquire(slots, at + COUNT))
    if count < SKIPPED + windows:
        return None
    spreads = sorted(int(slots[at + SPREADS + k % KEPT]) for k in range(count - windows, count))
    return spreads[min(windows - 1, int(share * windows))] * 1e-9
