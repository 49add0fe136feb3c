"""The engines that one played file feeds: one, or two on one input ring while the model is switched."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rtsep.audio import rings
from rtsep.audio.played_file import READ_PATIENCE_S
from rtsep.errors import InputFileError
from rtsep.realtime.atomics import acquire, release


class FedEngines:
    """State arrays of the engines; the thread that feeds them holds `lock` while it reads and writes."""

    def __init__(self) -> None:
        """Begin without an engine."""
        self.lock = threading.Lock()
        self.states: tuple[NDArray[np.int64], ...] = ()

    @property
    def first(self) -> NDArray[np.int64]:
        """Return the state of the engine that counts."""
        return self.states[0]

    def begin(self, state: NDArray[np.int64]) -> None:
        """Feed one engine, that of `state`."""
        self.states = (state,)

    def end(self) -> None:
        """Feed none."""
        self.states = ()

    def feed_also(self, state: NDArray[np.int64], hung: Callable[[], InputFileError]) -> None:
        """Feed a second engine from now on; raise the error of `hung` if the disk keeps the thread."""
        if not self.lock.acquire(timeout=READ_PATIENCE_S):
            raise hung()
        try:
            for slot in (rings.SOURCE_WRITE, rings.SOURCE_END):
                release(state, slot, acquire(self.first, slot))
            self.states = (self.first, state)
        finally:
            self.lock.release()

    def feed_no_more(self, state: NDArray[np.int64]) -> None:
        """Stop feeding one of two engines."""
        held = self.lock.acquire(timeout=READ_PATIENCE_S)  # a thread that the disk keeps writes nothing now
        self.states = tuple(engine for engine in self.states if engine is not state)
        if held:
            self.lock.release()

    def release(self, slot: int, value: int) -> None:
        """Publish a word to all of them."""
        for engine in self.states:
            release(engine, slot, value)

    def arrived(self) -> int:
        """Return the frame that callbacks have reached."""
        return max(acquire(engine, rings.IN_WRITE) for engine in self.states)
