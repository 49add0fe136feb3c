"""Access to the feeds for recorders: a ring that the hop loop always fills."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.audio import rings
from rtsep.realtime.atomics import acquire


class RecordTap:
    """Read-only access to the feeds of one engine, for any number of readers on any thread."""

    def __init__(
        self, state: NDArray[np.int64], ring: NDArray[np.float32], rate: int, feed_delay: int
    ) -> None:
        """Read `ring` [frames, feeds, channels], with a power of two frames at `rate` Hz.

        The feeds lag the input by `feed_delay` frames. `state` are those of `rtsep.audio.rings`.
        """
        self._state, self._ring = state, ring
        self.rate = rate
        self.feed_delay = feed_delay

    @property
    def length(self) -> int:
        """Return the capacity of the ring in frames; older frames are overwritten."""
        return len(self._ring)

    @property
    def feed_shape(self) -> tuple[int, int]:
        """Return feeds and channels of a frame."""
        return self._ring.shape[1], self._ring.shape[2]

    def written(self) -> int:
        """Return the number of frames written by the hop loop so far."""
        return int(acquire(self._state, rings.RECORD_WRITE))

    def source_end(self) -> int:
        """Return the input frames of the played file, or `rtsep.audio.telemetry.UNKNOWN`."""
        return int(acquire(self._state, rings.SOURCE_END))

    def copy(self, first: int, max_frames: int) -> NDArray[np.float32]:
        """Return a copy of the frames from `first` on, [1 to max_frames, feeds, channels], within the ring.

        The hop loop does not wait: compare `written` after the copy with `first` to see whether frames were
        overwritten meanwhile.
        """
        start = first & (len(self._ring) - 1)
        return self._ring[start : start + max_frames].copy()

    def without_ring(self) -> RecordTap:
        """Return a tap that does not keep the engine's ring, for use after the last read."""
        return RecordTap(self._state, self._ring[:0].copy(), self.rate, self.feed_delay)
