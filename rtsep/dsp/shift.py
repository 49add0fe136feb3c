"""Copies between the rows of fixed buffers, for code that may not allocate.

numba copies the source of a slice assignment to the heap if source and target might overlap, and checks this
at run time: `row[:n] = row[k:]` calls the allocator, and any `a[:] = b` contains the call in its machine
code. The loops here need no heap and copy once. Any block size, stream delay 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def copy_row(source: np.ndarray, target: np.ndarray) -> None:
    """Copy `source` [frames] to `target` [>= frames], which must not overlap."""
    for i in range(source.size):
        target[i] = source[i]


@njit(cache=True, nogil=True)
def copy_rows(source: np.ndarray, target: np.ndarray) -> None:
    """Copy `source` [channels, frames] to `target` [>= channels, >= frames], which must not overlap."""
    for c in range(source.shape[0]):
        copy_row(source[c], target[c])


@njit(cache=True, nogil=True)
def shift_left(row: np.ndarray, by: int) -> None:
    """Move `row` [frames] left by `by` frames (1 or more); the last `by` frames keep their values.

    A forward loop is correct, because each write goes to a frame that was already read. It runs in steps of
    `by` frames: within one step source and target do not overlap, so the compiler can vectorise the copy.
    """
    kept = row.size - by
    for start in range(0, kept, max(1, by)):
        target = row[start : min(start + by, kept)]
        source = row[start + by :]
        for i in range(target.size):
            target[i] = source[i]


@njit(cache=True, nogil=True)
def push(history: np.ndarray, block: np.ndarray) -> None:
    """Shift `block` [channels, frames] into `history` [channels, length >= frames], newest frame last."""
    length, frames = history.shape[1], block.shape[1]
    for c in range(block.shape[0]):
        shift_left(history[c], frames)
        copy_row(block[c], history[c, length - frames :])
