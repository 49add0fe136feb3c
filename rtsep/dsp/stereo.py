"""Left/right to mid/side and back, by pairs of channels. Any block size, stream delay 0.

A single channel (mono, or the last of an odd count) is its own mid. Mid is the mean, so that a mono source in
both channels has the level of one of them; decoding is a sum and a difference.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def encode_mid_side(block: np.ndarray) -> None:
    """Replace left/right by mid/side in `block` [channels, frames], in place."""
    for c in range(0, block.shape[0] - 1, 2):
        for i in range(block.shape[1]):
            left, right = block[c, i], block[c + 1, i]
            block[c, i] = np.float32(0.5) * (left + right)
            block[c + 1, i] = np.float32(0.5) * (left - right)


@njit(cache=True, nogil=True)
def decode_mid_side(block: np.ndarray) -> None:
    """Replace mid/side by left/right in `block` [channels, frames], in place."""
    for c in range(0, block.shape[0] - 1, 2):
        for i in range(block.shape[1]):
            mid, side = block[c, i], block[c + 1, i]
            block[c, i] = mid + side
            block[c + 1, i] = mid - side


@njit(cache=True, nogil=True)
def fold_columns(spectra: np.ndarray, lone_has_side: bool, column: np.ndarray) -> None:
    """Write the model's `column` [1 or 2, bins, 2] from `spectra` of any number of channels.

    Even channels are averaged into the first column, odd ones into the second. A single channel leaves the
    second column empty if it is a side (`lone_has_side` False), and also fills it if it is a right channel
    (True).
    """
    channels = spectra.shape[0]
    for target in range(column.shape[0]):
        source = target if target < channels else 0
        if target >= channels and not lone_has_side:
            column[target] = 0
            continue
        weight = np.float32(1.0 / ((channels - source + 1) // 2))
        # Loops, because an array expression would allocate its result on the heap.
        for k in range(column.shape[1]):
            for part in range(2):
                column[target, k, part] = spectra[source, k, part] * weight
        for c in range(source + 2, channels, 2):
            for k in range(column.shape[1]):
                for part in range(2):
                    column[target, k, part] += spectra[c, k, part] * weight
