"""Parts of `rtsep.audio.source`: what lies in the ring of a played file, and how other sound gets into it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SEGMENTS_SECONDS = 20.0
"""How far back the place in the file is known: longer than any latency."""


class Place(NamedTuple):
    """Where the playing of a file stands, in seconds of the file."""

    position: float
    length: float | None  # None: not known before the end
    paused: bool
    loop: tuple[float, float | None] | None  # start and end; an end of None is the file's

    def as_json(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        return {
            "position_s": round(self.position, 3),
            "length_s": None if self.length is None else round(self.length, 3),
            "paused": self.paused,
            "loop_s": list(self.loop) if self.loop else None,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Place:
        """Return what `as_json` has told, to the millisecond."""
        loop = tuple(found["loop_s"]) if found["loop_s"] else None
        return cls(found["position_s"], found["length_s"], found["paused"], loop)


class Segment(NamedTuple):
    """What lies in the ring from a frame on."""

    start: float  # frame of the ring's count
    frame: int  # of the file
    taken: int  # as `rtsep.audio.played_file.PlayedFile` counts
    moves: bool  # False: silence, the file stands still

    def frame_at(self, place: float, ratio: float) -> float:
        """Return the frame of the file at `place` of the ring's count; `ratio` frames of the file a frame."""
        return self.frame + (max(0.0, place - self.start) * ratio if self.moves else 0.0)

    def taken_at(self, place: float, ratio: float) -> int:
        """Return what was taken of the file before `place`, in its frames."""
        return self.taken + (round(max(0.0, place - self.start) * ratio) if self.moves else 0)


def segment_at(segments: tuple[Segment, ...], place: float) -> Segment:
    """Return the one that `place` of the ring's count lies in; before all of them, the first."""
    return next((segment for segment in reversed(segments) if segment.start <= place), segments[0])


def with_segment(
    segments: tuple[Segment, ...], newest: Segment, reach: float = -np.inf
) -> tuple[Segment, ...]:
    """Return `segments` up to the start of `newest`, and that; without those that end before `reach`."""
    before = tuple(segment for segment in segments if segment.start < newest.start)
    kept = tuple(segment for segment, after in pairwise((*before, newest)) if after.start > reach)
    return (*kept, newest)


def _rows(ring: NDArray[np.float32], start: int, frames: int) -> NDArray[np.int64]:
    return (start + np.arange(frames)) & (len(ring) - 1)


def write(ring: NDArray[np.float32], start: int, block: NDArray[np.float32]) -> None:
    """Write `block` [frames, channels] to `ring`, of a power of two frames, from frame `start` on."""
    ring[_rows(ring, start, len(block))] = block


def fade_out(ring: NDArray[np.float32], end: int, frames: int) -> None:
    """Fade the `frames` frames before `end` out."""
    gains = np.arange(frames, 0, -1, dtype=np.float32)[:, None] / np.float32(frames + 1)
    ring[_rows(ring, end - frames, frames)] *= gains


def fade_over(ring: NDArray[np.float32], start: int, head: NDArray[np.float32]) -> None:
    """Let `head` come in over a fade from what lies in the ring from `start` on; equal sound stays equal."""
    gains = np.arange(1, len(head) + 1, dtype=np.float32)[:, None] / np.float32(len(head) + 1)
    before = ring[_rows(ring, start, len(head))]
    head[:] = before + gains * (head - before)
