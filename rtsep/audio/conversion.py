"""Frames of a file on their way to an engine: its channels, stretched, then resampled to its rate.

Block size: as the engine's ring asks. Latency: none in the engine's count, because the file is read ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from rtsep.audio.stretch import AS_RECORDED, LEAD_SECONDS, Stretch, Stretcher

_BLOCK_SECONDS = 0.1


class Target(NamedTuple):
    """Rate, channels, speed and key that an engine takes of a file."""

    rate: int  # Hz
    channels: list[int]  # of the file, from 0
    stretch: Stretch = AS_RECORDED


class Conversion:
    """Converts consecutive frames; a splice begins a new one."""

    def __init__(
        self,
        rate: int,
        target: Target,
        take: Callable[[int], NDArray[np.float32]],
        before: Callable[[int], NDArray[np.float32]],
    ) -> None:
        """Convert frames at `rate` Hz that `take(n)` returns, [<= n, channels of the file], empty at the end.

        `before(n)` returns the last n frames before them, which a stretcher needs.
        """
        self._take, self._channels = take, target.channels
        self._frames = int(rate * _BLOCK_SECONDS)
        self._stretcher: Stretcher | None = None
        if target.stretch != AS_RECORDED:
            lead = before(round(LEAD_SECONDS * rate))[:, target.channels]
            self._stretcher = Stretcher(rate, *target.stretch, lead)
        self._resampler: soxr.ResampleStream | None = None
        if rate != target.rate:
            count = len(target.channels)
            self._resampler = soxr.ResampleStream(rate, target.rate, count, "float32", "VHQ")
        self._kept: NDArray[np.float32] = np.zeros((0, len(target.channels)), np.float32)
        self._ended = False

    def next_block(self, max_frames: int) -> NDArray[np.float32]:
        """Return the next frames [<= max_frames, channels], at the engine's rate; empty at the end."""
        while len(self._kept) == 0 and not self._ended:
            raw = self._take(self._frames)
            self._ended = len(raw) == 0
            block = np.ascontiguousarray(raw[:, self._channels])
            if self._stretcher:
                block = self._stretcher.stretch(block, self._ended)
            if self._resampler:
                block = self._resampler.resample_chunk(block, self._ended)
            self._kept = block
        block, self._kept = self._kept[:max_frames], self._kept[max_frames:]
        return block
