"""A file played into the engine: read ahead into the input ring, paced by the output's callback."""

from __future__ import annotations

import threading

import numpy as np
import soxr
from numpy.typing import NDArray

from rtsep.audio import rings as r
from rtsep.audiofile import AudioReader
from rtsep.errors import InputFileError
from rtsep.realtime.atomics import acquire, release

_BLOCK_SECONDS = 0.1


class FileSource:
    """Feeds `reader` to one engine after another (a device may go and come back)."""

    def __init__(self, reader: AudioReader, rate: int, channels: list[int]) -> None:
        """Play `channels` (from 0) of `reader` at `rate` Hz, resampled where the file has another rate."""
        self._reader = reader
        self._rate = rate
        self._channels = channels
        self._resampler = (
            soxr.ResampleStream(reader.rate, rate, len(channels), dtype="float32", quality="VHQ")
            if reader.rate != rate
            else None
        )
        self._ended = False
        self._engines: tuple[NDArray[np.int64], ...] = ()  # slots of those that hear it, of one ring
        self._lock = threading.Lock()
        self._kept: NDArray[np.float32] = np.zeros((0, len(channels)), np.float32)
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: InputFileError | None = None

    def start(self, state: NDArray[np.int64], ring: NDArray[np.float32]) -> None:
        """Fill `ring` of an engine that has not started, then keep it filled on a thread."""
        self._leaving.clear()
        self._engines = (state,)
        self._fill(ring)
        self._thread = threading.Thread(target=self._run, args=(ring,), name="file-source", daemon=True)
        self._thread.start()

    def also(self, state: NDArray[np.int64]) -> None:
        """Let a second engine, which shares the first one's ring, hear it from now on."""
        with self._lock:
            first = self._engines[0]
            for slot in (r.SOURCE_WRITE, r.SOURCE_END):
                release(state, slot, acquire(first, slot))
            state[r.HAS_SOURCE] = 1
            self._engines = (first, state)

    def only(self, state: NDArray[np.int64]) -> None:
        """Let this one of the engines go on alone."""
        with self._lock:
            self._engines = (state,)

    def stop(self) -> None:
        """Stop filling."""
        self._leaving.set()
        if self._thread:
            self._thread.join()

    def close(self) -> None:
        """Stop, and close the file."""
        self.stop()
        self._reader.close()

    def _run(self, ring: NDArray[np.float32]) -> None:
        while not self._leaving.wait(_BLOCK_SECONDS):
            self._fill(ring)

    def _fill(self, ring: NDArray[np.float32]) -> None:
        with self._lock:
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
            try:
                raw = self._reader.read(int(self._reader.rate * _BLOCK_SECONDS))
            except InputFileError as error:
                self.failure = error
                raw = np.zeros((0, self._reader.channels), np.float32)
            self._ended = len(raw) == 0
            block = np.ascontiguousarray(raw[:, self._channels])
            self._kept = (
                block if self._resampler is None else self._resampler.resample_chunk(block, self._ended)
            )
        block, self._kept = self._kept[:most], self._kept[most:]
        return block
