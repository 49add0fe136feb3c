"""The memory that a plugin shares with its engine process, as `plugin/layout.h` has it."""

from __future__ import annotations

import mmap
import os
import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PROTOCOL = 2
IN_CHANNELS, OUT_CHANNELS = 2, 6
MAX_CONTROLS = 24
SIGNALS_AT, SIGNAL_BYTES = 512, 64
RINGS_AT = 4096

SLOT_PROTOCOL = 0
SLOT_RATE = 1
SLOT_RING_FRAMES = 2
SLOT_CONTROLS = 3
SLOT_LAG = 4
SLOT_BLOCK = 5
SLOT_SPARE = 6
SLOT_IN_WRITE = 8
SLOT_STREAM_START = 9
SLOT_OFFLINE = 10
SLOT_LATE_FRAMES = 11
SLOT_STREAMS = 12
SLOT_VALUES = 16
SLOT_OUT_BEGIN = 40
SLOT_OUT_WRITE = 41
SLOT_NEXT_HOP_AT = 42
SLOT_STATE = 43
SLOT_MAX_HOP = 44
SLOT_DELAY = 45
SLOT_LATE_MASKS = 46
SLOT_HOPS = 47
SLOT_ENGINE_PROTOCOL = 48
SLOT_OUT_STREAMS = 49
SLOT_COUNT = 64

STATE_STARTING, STATE_READY, STATE_REFUSED, STATE_DOWN = 0, 1, 2, 3


class Memory(NamedTuple):
    """The parts of the memory. They live as long as this does."""

    slots: NDArray[np.int64]  # [SLOT_COUNT]
    input: NDArray[np.float32]  # [ring frames, IN_CHANNELS]
    output: NDArray[np.float32]  # [ring frames, OUT_CHANNELS]
    signals: tuple[int, int]  # handles of `rtsep.realtime.wake`: input has come, output has come


def map_memory(name: str) -> Memory:
    """Map the memory that a plugin shares.

    `name` is the number of an open file; on Windows it is the name of the memory, a colon, and its bytes.
    Raises `OSError`, or `ValueError` where there is no such memory.
    """
    from rtsep.realtime.wake import Semaphore  # the numbers above are read without a compiler

    label, mapped = _open(name)
    size = len(mapped)
    if size < RINGS_AT:
        raise ValueError(f"{size} bytes are no memory of a plugin")
    whole = np.frombuffer(mapped, np.uint8)
    slots = whole[: 8 * SLOT_COUNT].view(np.int64)
    frames = int(slots[SLOT_RING_FRAMES])
    rings = whole[RINGS_AT:].view(np.float32)
    if frames <= 0 or frames & (frames - 1) or len(rings) != frames * (IN_CHANNELS + OUT_CHANNELS):
        raise ValueError(f"a ring of {frames} frames does not fit in {size} bytes")
    base = int(whole.ctypes.data) + SIGNALS_AT
    first, second = (Semaphore(base + i * SIGNAL_BYTES, f"{label}-{i}", create=False) for i in range(2))
    return Memory(
        slots=slots,
        input=rings[: frames * IN_CHANNELS].reshape(frames, IN_CHANNELS),
        output=rings[frames * IN_CHANNELS :].reshape(frames, OUT_CHANNELS),
        signals=(first.handle, second.handle),
    )


def _open(name: str) -> tuple[str, mmap.mmap]:
    if sys.platform == "win32":
        label, _, size = name.partition(":")
        return label, mmap.mmap(-1, int(size), tagname=f"Local\\{label}")
    descriptor = int(name)
    return "", mmap.mmap(descriptor, os.fstat(descriptor).st_size)
