"""Columns out, masks back: the memory that the hop loop shares with the model process.

Both map one file (in memory if the system has such a place). It has rings of CAPACITY columns and masks;
column n and its mask are in slot n % CAPACITY, published by `sequence[slot] = n + 1`. The model may fall
CAPACITY columns behind and still answer each of them in order: its state is the same as without a delay.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.realtime import wake
from rtsep.realtime.atomics import CACHE_LINE, load_acquire, store_release
from rtsep.realtime.shared_file import SharedFile

CAPACITY = 64

# Words of the header, each on its own cache line.
COLUMNS = 0 * CACHE_LINE  # columns published (hop loop)
MODEL_STATE = 1 * CACHE_LINE  # STARTING, READY or DOWN
MODEL_STEPS = 2 * CACHE_LINE  # masks published (model)
MODEL_SKIPPED = 3 * CACHE_LINE  # columns that the model skipped because it fell CAPACITY behind
STOP = 4 * CACHE_LINE  # requests the end of the model process
RESET = 5 * CACHE_LINE  # 1: the next column is the first of a stream
CLOCKED = 6 * CACHE_LINE  # 1: time the next steps on the GPU
DEVICE_NS = 7 * CACHE_LINE  # duration of the last clocked step
SEQUENCE = 8 * CACHE_LINE  # [CAPACITY] for each slot: column number of its mask, plus 1
_HEADER = SEQUENCE + CAPACITY
_SEMAPHORES = 2 * wake.SHARED_BYTES  # column published, mask published

STARTING, READY, DOWN = 0, 1, 2


class Exchange(NamedTuple):
    """The shared memory for compiled code."""

    header: NDArray[np.int64]
    columns: NDArray[np.float32]  # [CAPACITY, channels, bins, 2]
    masks: NDArray[np.float32]  # [CAPACITY, channels, bins]
    column_signal: int
    mask_signal: int


class _Layout(NamedTuple):
    """Offsets of the parts of the file in bytes; the header is at 0."""

    semaphores: int
    columns: int
    masks: int
    total: int  # size of the file


def _layout(channels: int, bins: int) -> _Layout:
    semaphores = _HEADER * np.dtype(np.int64).itemsize
    columns = semaphores + _SEMAPHORES
    mask_bytes = CAPACITY * channels * bins * np.dtype(np.float32).itemsize
    masks = columns + 2 * mask_bytes
    return _Layout(semaphores=semaphores, columns=columns, masks=masks, total=masks + mask_bytes)


class MaskExchange:
    """Owner (`create`) or guest (`attach`) of the mapped file."""

    def __init__(self, path: Path, channels: int, bins: int, file: SharedFile | None = None) -> None:
        """Map the file at `path`; `file` is given only by its owner."""
        self.path, self._file = path, file
        create = file is not None
        layout = _layout(channels, bins)
        self._memory = np.memmap(path, np.uint8, "r+", shape=(layout.total,))
        header = self._memory[: layout.semaphores].view(np.int64)
        columns = self._memory[layout.columns : layout.masks].view(np.float32)
        masks = self._memory[layout.masks :].view(np.float32)
        signals = int(self._memory.ctypes.data) + layout.semaphores
        self._semaphores = [
            wake.Semaphore(signals + i * wake.SHARED_BYTES, f"{path.name}-{i}", create) for i in range(2)
        ]
        self.exchange = Exchange(
            header=np.asarray(header),
            columns=np.asarray(columns).reshape(CAPACITY, channels, bins, 2),
            masks=np.asarray(masks).reshape(CAPACITY, channels, bins),
            column_signal=self._semaphores[0].handle,
            mask_signal=self._semaphores[1].handle,
        )

    @classmethod
    def create(cls, channels: int, bins: int) -> MaskExchange:
        """Create and map a new file; raise `OutputError` if there is no space for it."""
        file = SharedFile(_layout(channels, bins).total)
        try:
            return cls(file.path, channels, bins, file)
        except BaseException:
            file.close()
            raise

    @classmethod
    def attach(cls, path: Path, channels: int, bins: int) -> MaskExchange:
        """Map a file created by another process."""
        return cls(path, channels, bins)

    @property
    def note(self) -> str:
        """Return the line for the user about an owner's file that is not in memory, "" if it is."""
        return self._file.note if self._file else ""

    def close(self) -> None:
        """Close the semaphores; the owner removes the file."""
        for semaphore in self._semaphores:
            semaphore.close()
        if self._file:
            self._file.close()


@njit(cache=True, nogil=True)
def publish_column(exchange: Exchange, number: int) -> None:
    """Publish column `number`, already written to its slot, to the model."""
    store_release(exchange.header, COLUMNS, number + 1)
    wake.post(exchange.column_signal)


@njit(cache=True, nogil=True)
def mask_is_there(exchange: Exchange, number: int) -> bool:
    """Return whether the mask of column `number` has arrived."""
    return load_acquire(exchange.header, SEQUENCE + number % CAPACITY) == number + 1


@njit(cache=True, nogil=True)
def publish_mask(exchange: Exchange, number: int) -> None:
    """Publish the mask of column `number`, already written to its slot, to the hop loop."""
    store_release(exchange.header, SEQUENCE + number % CAPACITY, number + 1)
    store_release(exchange.header, MODEL_STEPS, exchange.header[MODEL_STEPS] + 1)
    wake.post(exchange.mask_signal)


@njit(cache=True, nogil=True)
def await_column(exchange: Exchange, number: int, timeout_ns: int, scratch: np.ndarray) -> int:
    """Wait for column `number`, at most `timeout_ns` once; return the number of published columns."""
    published = load_acquire(exchange.header, COLUMNS)
    if published <= number:
        wake.wait(exchange.column_signal, timeout_ns, scratch)
        published = load_acquire(exchange.header, COLUMNS)
    return published


@njit(cache=True, nogil=True)
def await_mask(exchange: Exchange, number: int, timeout_ns: int, scratch: np.ndarray) -> bool:
    """Wait for the mask of column `number`, at most `timeout_ns` once; return whether it is published."""
    if load_acquire(exchange.header, SEQUENCE + number % CAPACITY) != number + 1:
        wake.wait(exchange.mask_signal, timeout_ns, scratch)
    return load_acquire(exchange.header, SEQUENCE + number % CAPACITY) == number + 1
