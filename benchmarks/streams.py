"""Live separators: one hop in, one hop of both stems out; the timed steps are also scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from rtsep.controls import Controls
from rtsep.dsp.router import FEEDS, INSTRUMENTAL, VOCALS
from rtsep.model.runner import ModelRunner
from rtsep.pipeline import begin_hop, finish_hop, make_pipeline
from train.data.cache import RATE
from train.data.effects import Wave
from train.data.tracks import Stems


class Separating(Protocol):
    """Separator to compare: `train.score.peers.Peer`, with fewer known properties."""

    @property
    def title(self) -> str:
        """Return its name in tables."""

    @property
    def licence(self) -> str:
        """Return the licence of code and weights."""

    @property
    def params(self) -> int | None:
        """Return the number of trained parameters; None: unknown."""

    @property
    def latency_samples(self) -> int | None:
        """Return the algorithm's latency with the filling of a hop; None: it needs the whole recording."""

    def separate(self, mix: Wave) -> Stems:
        """Return vocals and accompaniment [2, n] of `mix` [2, n] at RATE, aligned with it."""


class Stream(ABC):
    """Separator that is stepped hop by hop; it is also `Separating`."""

    title: str
    licence: str
    params: int | None
    rate: int = RATE  # Hz
    hop: int  # samples per step
    latency_samples: int  # at `rate`

    @abstractmethod
    def step(self, block: Wave) -> NDArray[np.float32]:
        """Process the next `block` [2, hop]; return vocals and accompaniment [2, 2, hop].

        They lag the input by `latency_samples - hop`.
        """

    @abstractmethod
    def reset(self) -> None:
        """Reset the state."""

    def separate(self, mix: Wave) -> Stems:
        """Return vocals and accompaniment [2, n] of `mix` [2, n] at RATE, with the latency removed."""
        self.reset()
        wave = converted(mix, RATE, self.rate)
        late = self.latency_samples - self.hop
        frames = wave.shape[1]
        padded = np.pad(wave, ((0, 0), (0, -(frames + late) % self.hop + late)))
        steps = [self.step(padded[:, i : i + self.hop]) for i in range(0, padded.shape[1], self.hop)]
        stems = np.concatenate(steps, 2)[:, :, late : late + frames]
        vocals, others = (converted(stem, self.rate, RATE) for stem in stems)
        return _as_long(vocals, mix), _as_long(others, mix)


class MaskStream(Stream):
    """Mask in place of a model, on the path of rtsep's own models, with its windows and latency."""

    def __init__(self, player: ModelRunner, title: str, licence: str) -> None:
        """Use `player`, whose model rate must be RATE."""
        self.title, self.licence, self.params = title, licence, player.spec.params
        self.hop, self.latency_samples = player.spec.hop, player.spec.algorithmic_latency
        self._player = player
        self._controls = Controls()
        self._feeds = np.zeros((len(FEEDS), 2, self.hop), np.float32)
        self.reset()

    def step(self, block: Wave) -> NDArray[np.float32]:
        """Process one hop; return the stems [2, 2, hop]."""
        begin_hop(self._pipeline, np.ascontiguousarray(block), self._player.column)
        self._player.step()
        finish_hop(self._pipeline, self._player.mask, self._controls.control_block, True, self._feeds)
        return self._feeds[[VOCALS, INSTRUMENTAL]]

    def reset(self) -> None:
        """Reset the state."""
        self._player.reset()
        self._pipeline = make_pipeline(self._player.spec, RATE, 2, RATE)


def converted(wave: Wave, rate: int, to_rate: int) -> Wave:
    """Return `wave` [channels, n] at another rate, aligned with itself; itself if the rates are equal."""
    if rate == to_rate:
        return wave
    return np.ascontiguousarray(soxr.resample(wave.T, rate, to_rate).T, np.float32)


def _as_long(stem: Wave, mix: Wave) -> Wave:
    frames = mix.shape[1]
    return np.ascontiguousarray(np.pad(stem[:, :frames], ((0, 0), (0, max(0, frames - stem.shape[1])))))
