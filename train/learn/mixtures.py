"""The stream of training batches, drawn by seed and step, in this process or in worker processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from train.data.cache import RATE, AudioCache
from train.data.remix import Remixer
from train.learn.system import System

Draw = tuple[int, float]
"""Number of the step, and its share of real songs."""


class Mixtures(Dataset[Tensor]):
    """Batches [B, 2 (voice, mix), 2 (left, right), n] at the rate of a system; a step gives equal batches."""

    def __init__(self, cache: Path, system: System, seed: int, rank: int = 0) -> None:
        self._folder, self._system, self._seed, self._rank = cache, system, seed, rank
        self._remixer: Remixer | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_remixer": None}  # it holds the memory map, all of it once pickled

    @property
    def remixer(self) -> Remixer:
        """The remixer; each process opens its own, because a memory map cannot be sent to another one."""
        if self._remixer is None:
            system = self._system
            frames = -(-system.frames * RATE // system.rate)
            self._remixer = Remixer(AudioCache(self._folder), frames, recipe=system.training.recipe)
        return self._remixer

    def __getitem__(self, draw: Draw) -> Tensor:  # type: ignore[override]
        step, share = draw
        return self.batch(step, self._system.training.batch, share)

    def batch(self, step: int, size: int, share: float) -> Tensor:
        """Return the batch of one step, with `size` mixtures."""
        waves = self.remixer.batch((self._seed, self._rank, step), size, share)
        return torch.from_numpy(at_rate(waves, self._system.rate, self._system.frames))


def at_rate(waves: NDArray[np.float32], rate: int, frames: int) -> NDArray[np.float32]:
    """Resample `waves` [..., n] from the cache's rate and cut them to `frames`."""
    if rate == RATE:
        return waves[..., :frames]
    flat = waves.reshape(-1, waves.shape[-1]).T
    changed = soxr.resample(flat, RATE, rate).T
    out = np.zeros((changed.shape[0], frames), np.float32)
    kept = min(frames, changed.shape[1])
    out[:, :kept] = changed[:, :kept]
    return out.reshape(*waves.shape[:-1], frames)


class _Steps(Sampler[Draw]):
    """Sampler of steps from `first` on, each with the share of real songs at the time of its draw."""

    def __init__(self, first: int, share: Callable[[int], float]) -> None:
        self._first, self._share = first, share

    def __iter__(self) -> Iterator[Draw]:
        step = self._first
        while True:
            yield step, self._share(step)
            step += 1


def _ignore_interrupts(_worker: int) -> None:
    """Ignore Ctrl-C, which the terminal sends to all processes: the training process handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def batches(
    mixtures: Mixtures, first: int, share: Callable[[int], float], workers: int, pinned: bool
) -> Iterator[Tensor]:
    """Yield the batches of the steps from `first` on, for ever.

    `workers` processes draw ahead; with 0, a batch is drawn when it is needed. `pinned` memory is copied to a
    GPU without a stop.
    """
    loader = DataLoader(
        mixtures,
        batch_size=None,
        sampler=_Steps(first, share),
        num_workers=workers,
        pin_memory=pinned,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_ignore_interrupts,
    )
    return iter(loader)
