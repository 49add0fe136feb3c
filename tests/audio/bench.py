"""An engine on a bench: a device whose calls the test makes, and a model whose answers the test gives.

Time stands still between calls, so what comes out is exact whatever the machine does: after each call
the bench waits until the hop loop has consumed every hop that is complete.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.audio import rings
from rtsep.audio.callback import give_output, take_input
from rtsep.audio.engine import Engine, StreamFormat
from rtsep.controls import Controls
from rtsep.realtime import mask_exchange
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.mask_exchange import MaskExchange
from tests.models import make_spec

PATIENCE_S = 30.0


@njit
def call_input(state: np.ndarray, block: np.ndarray) -> None:
    take_input(state, block.ctypes.data, block.shape[0], 0)


@njit
def call_output(state: np.ndarray, block: np.ndarray) -> None:
    give_output(state, block.ctypes.data, block.shape[0], 0)


def one_clock(block: int, rate: int = 44100, channels: int = 2, slack: int | None = None) -> StreamFormat:
    """Both feeds of `channels` channels on one device."""
    out_map = tuple(range(2 * channels))  # vocals, then instrumental
    return StreamFormat(
        rate, channels, tuple(range(channels)), out_map, block, rate, block, two_clocks=False, slack=slack
    )


class Bench:
    """Engine, slots and an answering thread; a context manager."""

    def __init__(
        self,
        format: StreamFormat,
        answer: Callable[[int, NDArray[np.float32]], float | None],
        begin: Callable[[Engine], object] = lambda _: None,
        **spec: Any,
    ) -> None:
        """Answer column n with the mask value `answer(n, column)`; None: never. `spec` as for `make_spec`.

        `begin` may change the engine before it starts.
        """
        self.format = format
        described = make_spec(**spec)
        self.shared = MaskExchange.create(described.channels, described.bins)
        self.controls = Controls()
        self.engine = Engine(described, format, self.controls, self.shared)
        self._answer = answer
        begin(self.engine)
        self._first_column = acquire(self.shared.exchange.header, mask_exchange.COLUMNS)
        self._leaving = threading.Event()
        self._model = threading.Thread(target=self._run_model, daemon=True)

    def __enter__(self) -> Bench:
        self.engine.compile()
        release(self.shared.exchange.header, mask_exchange.MODEL_STATE, mask_exchange.READY)
        self._model.start()
        self.engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._model.join()
        self.engine.stop()
        self.shared.close()

    def _run_model(self) -> None:
        exchange, number = self.shared.exchange, self._first_column
        while not self._leaving.is_set():
            if acquire(exchange.header, mask_exchange.COLUMNS) <= number:
                time.sleep(0.0001)
                continue
            value = self._answer(number, exchange.columns[number % mask_exchange.CAPACITY])
            if value is not None:
                exchange.masks[number % mask_exchange.CAPACITY] = value
                mask_exchange.publish_mask(exchange, number)
            number += 1

    def set_model_state(self, state: int) -> None:
        release(self.shared.exchange.header, mask_exchange.MODEL_STATE, state)

    def call(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """One call of the device with `block` [frames, channels]; returns what it plays."""
        call_input(self.engine.state, np.ascontiguousarray(block, np.float32))
        out = np.full((len(block), len(self.format.out_map)), np.nan, np.float32)
        call_output(self.engine.state, out)
        self.settle()
        return out

    def settle(self) -> None:
        """Wait until every complete hop is consumed."""
        until = time.monotonic() + PATIENCE_S
        while self.engine.read(rings.IN_WRITE) >= self.engine.read(rings.NEXT_HOP_AT) or self._busy():
            assert time.monotonic() < until, "the hop loop does not move"
            time.sleep(0.00005)

    def _busy(self) -> bool:
        # NEXT_HOP_AT is stored before the loop waits: consumed and produced must have its value.
        return self.engine.read(rings.IN_WRITE) - self.engine.read(rings.IN_READ) >= self.engine._max_frames

    def play(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Play `signal` [frames, channels] in the device's blocks; returns what came out."""
        block = self.format.block
        return np.concatenate([self.call(signal[i : i + block]) for i in range(0, len(signal), block)])


def noise(frames: int, channels: int = 2, seed: int = 0) -> NDArray[np.float32]:
    """White noise within +-0.5."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels)).astype(np.float32)
