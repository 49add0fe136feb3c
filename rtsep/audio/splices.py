"""Parts of `rtsep.audio.source`: the content of a played file's ring, and splices of new audio into it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SEGMENTS_SECONDS = 20.0
"""Time for which positions in the file are kept, in seconds: longer than any latency."""


class FilePosition(NamedTuple):
    """Playback state of a file, in seconds of the file."""

    position: float
    length: float | None  # None: unknown before the end
    paused: bool
    loop: tuple[float, float | None] | None  # start and end; an end of None is the file's
    speed: float = 1.0  # a factor; more than 1: faster than recorded
    key: float = 0.0  # semitones above the recorded key

    def as_json(self) -> dict[str, Any]:
        """Return the state in JSON types."""
        return {
            "position_s": round(self.position, 3),
            "length_s": None if self.length is None else round(self.length, 3),
            "paused": self.paused,
            "loop_s": list(self.loop) if self.loop else None,
            "speed": self.speed,
            "key": self.key,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> FilePosition:
        """Convert the result of `as_json` back, to the millisecond."""
        loop = tuple(found["loop_s"]) if found["loop_s"] else None
        return cls(
            position=found["position_s"],
            length=found["length_s"],
            paused=found["paused"],
            loop=loop,
            speed=found.get("speed", 1.0),
            key=found.get("key", 0.0),
        )


class Segment(NamedTuple):
    """Content of the ring from a frame on."""

    start: float  # frame of the ring's count
    frame: int  # of the file
    taken: int  # in the count of `rtsep.audio.played_file.PlayedFile`
    speed: float  # a factor; 0: silence, the file is paused

    def frame_at(self, ring_frame: float, ratio: float) -> float:
        """Return the frame of the file at `ring_frame` of the ring.

        `ratio` is the number of file frames for each frame of the ring at speed 1.
        """
        return self.frame + max(0.0, ring_frame - self.start) * ratio * self.speed

    def taken_at(self, ring_frame: float, ratio: float) -> int:
        """Return the number of frames taken from the file before `ring_frame`."""
        return self.taken + round(max(0.0, ring_frame - self.start) * ratio * self.speed)


def segment_at(segments: tuple[Segment, ...], ring_frame: float) -> Segment:
    """Return the segment at `ring_frame` of the ring's count; before all segments, the first."""
    return next((segment for segment in reversed(segments) if segment.start <= ring_frame), segments[0])


def with_segment(
    segments: tuple[Segment, ...], newest: Segment, reach: float = -np.inf
) -> tuple[Segment, ...]:
    """Return `segments` up to the start of `newest`, then `newest`; drop those that end before `reach`."""
    before = tuple(segment for segment in segments if segment.start < newest.start)
    kept = tuple(segment for segment, after in pairwise((*before, newest)) if after.start > reach)
    return (*kept, newest)


def _rows(ring: NDArray[np.float32], start: int, frames: int) -> NDArray[np.int64]:
    return (start + np.arange(frames)) & (len(ring) - 1)


def write(ring: NDArray[np.float32], start: int, block: NDArray[np.float32]) -> None:
    """Write `block` [frames, channels] to `ring` (a power of two frames) from frame `start` on."""
    ring[_rows(ring, start, len(block))] = block


def fade_out(ring: NDArray[np.float32], end: int, frames: int) -> None:
    """Fade out the `frames` frames before `end`."""
    gains = np.arange(frames, 0, -1, dtype=np.float32)[:, None] / np.float32(frames + 1)
    ring[_rows(ring, end - frames, frames)] *= gains


def fade_over(ring: NDArray[np.float32], start: int, head: NDArray[np.float32]) -> None:
    """Fade from the ring's content at `start` to `head`; equal audio stays equal."""
    gains = np.arange(1, len(head) + 1, dtype=np.float32)[:, None] / np.float32(len(head) + 1)
    before = ring[_rows(ring, start, len(head))]
    head[:] = before + gains * (head - before)
