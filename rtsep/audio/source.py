"""A file played into the engine: read ahead into the input ring, paced by the output's callback."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
import soxr
from numpy.typing import NDArray

from rtsep.audio import rings as r
from rtsep.errors import InputFileError
from rtsep.files.audiofile import AudioReader
from rtsep.realtime.atomics import acquire, release

_BLOCK_SECONDS = 0.1
_BACK_BLOCKS = round(3 * r.RING_SECONDS / _BLOCK_SECONDS)
"""How many blocks are kept to go back to: more than the longest ring holds (less than twice RING_SECONDS)."""


class FileSource:
    """Feeds `reader` to one engine after another (a device may go and come back, or another take over)."""

    def __init__(self, reader: AudioReader, rate: int, channels: list[int]) -> None:
        """Play `channels` (from 0) of `reader` at `rate` Hz, resampled where the file has another rate."""
        self._reader = reader
        self._engines: tuple[NDArray[np.int64], ...] = ()  # slots of those that hear it, of one ring
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None
        self._past: deque[NDArray[np.float32]] = deque(maxlen=_BACK_BLOCKS)  # blocks of the file, newest last
        self._again: NDArray[np.float32] = np.zeros((0, reader.channels), np.float32)  # to be taken once more
        self._taken = 0  # frames of the file
        self._began = 0  # frame of the file that was the engine's first
        self.failure: InputFileError | None = None
        self.play_as(rate, channels)

    def play_as(self, rate: int, channels: list[int]) -> None:
        """Give the next engine this; right after `go_back`, when nothing is left of what the last one had."""
        self._rate, self._channels = rate, channels
        self._resampler = (
            soxr.ResampleStream(self._reader.rate, rate, len(channels), dtype="float32", quality="VHQ")
            if self._reader.rate != rate
            else None
        )
        self._kept: NDArray[np.float32] = np.zeros((0, len(channels)), np.float32)
        self._ended = False

    def start(self, state: NDArray[np.int64], ring: NDArray[np.float32]) -> None:
        """Fill `ring` of an engine that has not started, then keep it filled on a thread."""
        self._leaving.clear()
        self._engines = (state,)
        self._fill(ring)
        self._thread = threading.Thread(target=self._run, args=(ring,), name="file-source", daemon=True)
        self._thread.start()

    def feed_also(self, state: NDArray[np.int64]) -> None:
        """Feed a second engine, which shares the first one's ring, from now on."""
        with self._lock:
            first = self._engines[0]
            for slot in (r.SOURCE_WRITE, r.SOURCE_END):
                release(state, slot, acquire(first, slot))
            self._engines = (first, state)

    def feed_no_more(self, state: NDArray[np.int64]) -> None:
        """Leave one of two engines; the other one goes on alone."""
        with self._lock:
            self._engines = tuple(engine for engine in self._engines if engine is not state)

    def stop(self) -> None:
        """Stop filling."""
        self._leaving.set()
        if self._thread:
            self._thread.join()

    def go_back(self, frame: int) -> None:
        """Let the next engine begin with `frame` of what this one was given, and lose nothing read ahead.

        Goes back by what a ring holds, at most; `stop` comes first.
        """
        wanted = self._began + round(frame * self._reader.rate / self._rate)
        known = np.concatenate([*self._past, self._again])
        first = self._taken - sum(map(len, self._past))  # frame of the file that is the first known
        place = min(max(0, wanted - first), len(known))
        self._past.clear()
        self._past.append(known[:place])
        self._again = known[place:]
        self._taken = self._began = first + place
        self.play_as(self._rate, self._channels)

    def close(self) -> None:
        """Stop, and close the file."""
        self.stop()
        self._reader.close()

    def _run(self, ring: NDArray[np.float32]) -> None:
        while not self._leaving.wait(_BLOCK_SECONDS):
            self._fill(ring)

    def _fill(self, ring: NDArray[np.float32]) -> None:
        with self._lock:
            if self._engines:
                self._fill_for(self._engines, ring)

    def _fill_for(self, engines: tuple[NDArray[np.int64], ...], ring: NDArray[np.float32]) -> None:
        state = engines[0]
        written = acquire(state, r.SOURCE_WRITE)
        # A quarter stays free: the hop loop reads behind the callback, and may be late.
        limit = acquire(state, r.IN_WRITE) + len(ring) * 3 // 4
        while written < limit:
            block = self._next_block(min(limit - written, int(self._rate * _BLOCK_SECONDS)))
            if len(block) == 0:
                for engine in engines:
                    release(engine, r.SOURCE_END, written)
                return
            rows = (written + np.arange(len(block))) & (len(ring) - 1)
            ring[rows] = block
            written += len(block)
            for engine in engines:
                release(engine, r.SOURCE_WRITE, written)

    def _next_block(self, most: int) -> NDArray[np.float32]:
        while len(self._kept) == 0 and not self._ended:
            raw = self._take(int(self._reader.rate * _BLOCK_SECONDS))
            self._ended = len(raw) == 0
            block = np.ascontiguousarray(raw[:, self._channels])
            self._kept = (
                block if self._resampler is None else self._resampler.resample_chunk(block, self._ended)
            )
        block, self._kept = self._kept[:most], self._kept[most:]
        return block

    def _take(self, frames: int) -> NDArray[np.float32]:
        """Return the next frames of the file, [<= frames, its channels]; none is the end."""
        if len(self._again) > 0:
            raw, self._again = self._again[:frames], self._again[frames:]
        else:
            try:
                raw = self._reader.read(frames)
            except InputFileError as error:
                self.failure = error
                raw = self._again  # empty
        self._past.append(raw)
        self._taken += len(raw)
        return raw
