"""Separators that run live: a hop in, a hop of both stems out; scored through the steps that are timed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from rtsep import pipeline as stage
from rtsep.controls import Controls
from rtsep.dsp.router import FEEDS, INSTRUMENTAL, VOCALS
from rtsep.model.runner import ModelRunner
from train.data.cache import RATE
from train.data.effects import Wave
from train.data.tracks import Stems


class Separating(Protocol):
    """What is compared: `train.score.peers.Peer`, of which less may be known."""

    @property
    def title(self) -> str:
        """As tables name it."""

    @property
    def licence(self) -> str:
        """Of code and weights."""

    @property
    def params(self) -> int | None:
        """Numbers that were trained; None: nobody tells."""

    @property
    def latency_samples(self) -> int | None:
        """Of the algorithm, the filling of a hop included; None: it has to know the whole recording."""

    def separate(self, mix: Wave) -> Stems:
        """Vocals and accompaniment [2, n] of `mix` [2, n] at RATE, in time with it."""


class Stream(ABC):
    """A separator that is stepped hop by hop, and so `Separating` too."""

    title: str
    licence: str
    params: int | None
    rate: int = RATE  # Hz
    hop: int  # samples a step
    latency_samples: int  # at `rate`

    @abstractmethod
    def step(self, block: Wave) -> NDArray[np.float32]:
        """Take the next `block` [2, hop]; return vocals and accompaniment [2, 2, hop].

        They are of what came `latency_samples - hop` before.
        """

    @abstractmethod
    def reset(self) -> None:
        """Forget everything heard."""

    def separate(self, mix: Wave) -> Stems:
        """Vocals and accompaniment [2, n] of `mix` [2, n] at RATE, latency removed."""
        self.reset()
        heard = converted(mix, RATE, self.rate)
        late = self.latency_samples - self.hop
        frames = heard.shape[1]
        padded = np.pad(heard, ((0, 0), (0, -(frames + late) % self.hop + late)))
        steps = [self.step(padded[:, i : i + self.hop]) for i in range(0, padded.shape[1], self.hop)]
        stems = np.concatenate(steps, 2)[:, :, late : late + frames]
        vocals, others = (converted(stem, self.rate, RATE) for stem in stems)
        return _as_long(vocals, mix), _as_long(others, mix)


class MaskStream(Stream):
    """A mask in the place of a model, on the path that plays rtsep's own: its windows, its latency."""

    def __init__(self, player: ModelRunner, title: str, licence: str) -> None:
        """Play `player`, whose model rate must be RATE."""
        self.title, self.licence, self.params = title, licence, player.spec.params
        self.hop, self.latency_samples = player.spec.hop, player.spec.algorithmic_latency
        self._player = player
        self._controls = Controls()
        self._feeds = np.zeros((len(FEEDS), 2, self.hop), np.float32)
        self.reset()

    def step(self, block: Wave) -> NDArray[np.float32]:
        """One hop."""
        stage.begin_hop(self._pipeline, np.ascontiguousarray(block), self._player.column)
        self._player.step()
        stage.finish_hop(self._pipeline, self._player.mask, self._controls.control_block, True, self._feeds)
        return self._feeds[[VOCALS, INSTRUMENTAL]]

    def reset(self) -> None:
        """Begin anew."""
        self._player.reset()
        self._pipeline = stage.make_pipeline(self._player.spec, RATE, 2, RATE)


def converted(wave: Wave, rate: int, to_rate: int) -> Wave:
    """`wave` [channels, n] at another rate, in time with itself; itself where the rates are the same."""
    if rate == to_rate:
        return wave
    return np.ascontiguousarray(soxr.resample(wave.T, rate, to_rate).T, np.float32)


def _as_long(stem: Wave, mix: Wave) -> Wave:
    frames = mix.shape[1]
    return np.ascontiguousarray(np.pad(stem[:, :frames], ((0, 0), (0, max(0, frames - stem.shape[1])))))
