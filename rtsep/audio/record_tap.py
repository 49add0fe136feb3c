"""The place where recorders read the feeds: a ring that the hop loop fills whether or not anybody reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.audio import rings as r
from rtsep.realtime.atomics import acquire


class RecordTap:
    """Read-only access to the feeds of one engine. Any number of readers, on any thread."""

    def __init__(
        self, slots: NDArray[np.int64], ring: NDArray[np.float32], rate: int, feed_delay: int
    ) -> None:
        """Read `ring` [frames, feeds, channels], of a power of two frames at `rate` Hz.

        The feeds lag the input by `feed_delay` frames. `slots` are those of `rtsep.audio.rings`.
        """
        self._slots, self._ring = slots, ring
        self.rate = rate
        self.feed_delay = feed_delay

    @property
    def length(self) -> int:
        """How many frames the ring holds; older ones are overwritten."""
        return len(self._ring)

    @property
    def feed_shape(self) -> tuple[int, int]:
        """Feeds and channels of a frame."""
        return self._ring.shape[1], self._ring.shape[2]

    def written(self) -> int:
        """Return how many frames the hop loop has left so far."""
        return int(acquire(self._slots, r.RECORD_WRITE))

    def source_end(self) -> int:
        """Return the input frames of the played file; `rtsep.audio.telemetry.UNKNOWN` where none is known."""
        return int(acquire(self._slots, r.SOURCE_END))

    def copy(self, first: int, most: int) -> NDArray[np.float32]:
        """Return a copy of the frames from `first` on, [1 to most, feeds, channels], up to the ring's end.

        The hop loop does not wait: compare `written` after the copy with `first` to know whether it has
        overwritten them meanwhile.
        """
        start = first & (len(self._ring) - 1)
        return self._ring[start : start + most].copy()

    def without_ring(self) -> RecordTap:
        """Return one that does not keep the engine's ring, for whoever reads no frames any more."""
        return RecordTap(self._slots, self._ring[:0].copy(), self.rate, self.feed_delay)
