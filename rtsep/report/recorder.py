"""Takes the feeds from the hop loop's ring to files, on a thread of its own that may be slow."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtsep.audio import rings as r
from rtsep.audiofile import StemWriter
from rtsep.dsp.router import DRY, INSTRUMENTAL, VOCALS
from rtsep.errors import OutputError
from rtsep.realtime.atomics import acquire

STEMS: dict[str, int] = {"vocals": VOCALS, "instrumental": INSTRUMENTAL, "mix": DRY}
"""File names and the feeds they hold; `mix` is the input, aligned with the stems."""

_LOOK_EVERY_S = 0.1
_FLUSH_EVERY = 10  # looks


class Recorder:
    """Records one run of one engine. The files begin with the first frame of input."""

    def __init__(
        self,
        folder: Path,
        state: NDArray[np.int64],
        ring: NDArray[np.float32],
        rate: int,
        delay: int,
        subtype: str,
        most_frames: int | None,
    ) -> None:
        """Record `ring` [frames, feeds, channels], whose feeds lag by `delay` frames, to a take in `folder`.

        At most `most_frames` frames are written (None: no limit).
        """
        self._state, self._ring = state, ring
        self._read = delay
        self._most = most_frames
        self.writer = StemWriter(next_take(folder), tuple(STEMS), rate, ring.shape[2], subtype)
        self.lost_frames = 0
        self.failure: OutputError | None = None
        self.reported = False  # whether the user has been told of the failure
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, Path]:
        """Write what the hop loop has left, close the files and return their paths."""
        self._leaving.set()
        self._thread.join()
        if self.failure is None:
            self._drain()
        return self.writer.close()

    def _run(self) -> None:
        looks = 0
        while not self._leaving.wait(_LOOK_EVERY_S) and self.failure is None:
            self._drain()
            looks += 1
            if looks % _FLUSH_EVERY == 0:
                self.writer.flush()

    def _drain(self) -> None:
        frames = len(self._ring)
        written = acquire(self._state, r.RECORD_WRITE)
        if written - self._read > frames - frames // 8:  # the disk was too slow: silence keeps the time
            lost = written - self._read - frames // 2
            self.lost_frames += lost
            self._write(np.zeros((lost, *self._ring.shape[1:]), np.float32))
        if written > self._read:
            rows = np.arange(self._read, written) & (frames - 1)
            self._write(self._ring[rows])

    def _write(self, block: NDArray[np.float32]) -> None:
        self._read += len(block)
        end = acquire(self._state, r.SOURCE_END)  # of a played file: the silence behind it is not kept
        if self._most is not None:
            end = min(end, self._most)
        block = block[: max(0, end - self.writer.frames)]
        if len(block) == 0:
            return
        try:
            self.writer.write({stem: block[:, feed] for stem, feed in STEMS.items()})
        except OutputError as error:
            self.failure = error


def next_take(folder: Path) -> Path:
    """Return `folder`, or `folder/take-2`, ... where it holds a take already: none is overwritten."""
    take, number = folder, 1
    while any((take / f"{stem}{end}").exists() for stem in STEMS for end in (".wav", ".part.wav")):
        number += 1
        take = folder / f"take-{number}"
    return take
