"""A model and a pipeline in one process: blocks of audio in, stems out, no device in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtsep import pipeline as stage
from rtsep.controls import Controls
from rtsep.dsp.router import FEEDS, INSTRUMENTAL, VOCALS

if TYPE_CHECKING:
    from rtsep.model.loader import Stepper  # brings torch, which a live front does without


class Separator:
    """Streaming separation of blocks of any size.

    Output equals input in length; the first `latency` frames are the silence before the sound. The
    result does not depend on how the input is cut into blocks.
    """

    def __init__(self, model: Stepper, rate: int, channels: int, controls: Controls | None = None) -> None:
        self.rate = rate
        self.channels = channels
        self.model_rate = stage.model_rate_for(model.spec, rate)
        self.controls = controls if controls is not None else Controls()
        self._model = model
        self._model.reset()
        self._pipeline = stage.make_pipeline(model.spec, rate, channels, self.model_rate)
        most = stage.max_frames_per_step(rate, self.model_rate, model.spec.hop)
        self._feeds = np.zeros((len(FEEDS), channels, most), np.float32)
        self._pending = np.zeros((channels, 0), np.float32)
        # A hop is filled before it is played: what it gives then is handed out as more input comes.
        self._ready = np.zeros((len(FEEDS), channels, most), np.float32)

    @property
    def latency(self) -> int:
        """Frames by which the stems lag the input, the filling of a hop included."""
        return stage.latency(self._pipeline) + self._feeds.shape[2]

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take `block` [channels, frames]; return stems [2, channels, frames]: vocals, instrumental."""
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"block of shape {block.shape}: expected ({self.channels}, frames)")
        self._pending = np.concatenate([self._pending, np.asarray(block, np.float32)], axis=1)
        parts = [self._ready]
        position = 0
        while True:
            frames = stage.frames_needed(self._pipeline)
            if position + frames > self._pending.shape[1]:
                break
            parts.append(self._hop(np.ascontiguousarray(self._pending[:, position : position + frames])))
            position += frames
        self._pending = self._pending[:, position:]
        ready = np.concatenate(parts, axis=2)
        self._ready = ready[:, :, block.shape[1] :]
        return ready[[VOCALS, INSTRUMENTAL], :, : block.shape[1]]

    def _hop(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        stage.begin_hop(self._pipeline, block, self._model.column)
        self._model.step()
        feeds = self._feeds[:, :, : block.shape[1]]
        stage.finish_hop(self._pipeline, self._model.mask, self.controls.slots, True, feeds)
        return feeds.copy()
