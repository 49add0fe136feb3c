"""The configuration of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from rtsep.errors import UsageError
from rtsep.limits import DEVICES
from train.learn.checkpoint import Checkpoint
from train.learn.loss import LossConfig
from train.learn.system import System

FIT_DEVICES = ("auto", *DEVICES)
"""Choices of `--device`; auto: a GPU if torch finds one."""


@dataclass(frozen=True)
class FitConfig:
    """The data, the system and the length of a run. The schedule spans `steps` if given, else `minutes`."""

    cache: Path
    run: Path
    system: System
    minutes: float = 60.0  # of training; validation does not count
    steps: int | None = None
    device: str = FIT_DEVICES[0]
    threads: int = 1  # of torch, in each replica
    workers: int = 0  # processes that draw mixtures, for each replica; 0: the replica draws them itself
    seed: int = 1
    init: Path | None = None  # a run, checkpoint or model file whose weights a new run starts from
    save_minutes: float = 3.0
    validate_minutes: float = 6.0

    def __post_init__(self) -> None:
        if self.device not in FIT_DEVICES:
            raise UsageError(f"--device {self.device}: must be one of {', '.join(FIT_DEVICES)}")
        minimum = {"threads": 1, "workers": 0, "seed": 0, "steps": 1}
        for name, smallest in minimum.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise UsageError(f"--{name} {value}: must be at least {smallest}")
        if self.seed >= 2**63:
            raise UsageError(f"--seed {self.seed}: must be below 2^63")
        for name in ("minutes", "validate_minutes", "save_minutes"):
            if not 0 < getattr(self, name) < math.inf:
                option = f"--{name.replace('_', '-')} {getattr(self, name):g}"
                raise UsageError(f"{option}: --minutes and --validate-minutes must be above 0 and finite")
        _check(self.system)

    @property
    def length(self) -> float:
        """Length of the schedule, in steps if `steps` is given, else in seconds."""
        return self.steps or self.minutes * 60

    def progress(self, state: Checkpoint) -> float:
        """Return the finished share of the schedule: 0 at the start, 1 and more at the end."""
        return (state.step if self.steps else state.elapsed_s) / self.length


def _check(system: System) -> None:
    """Raise `UsageError` for options of a training that cannot run."""
    training = system.training
    if training.batch < 1 or training.hops < 1 or not 0 < training.learning_rate < math.inf:
        raise UsageError("batch, hops and learning rate of a system must be above 0")
    if training.warmup_steps < 1:
        raise UsageError(f"training.warmup_steps={training.warmup_steps}: must be at least 1")
    share = training.true_share
    if len(share) != 2 or not all(isinstance(x, int | float) and 0 <= x <= 1 for x in share):
        raise UsageError(f"training.true_share={share}: two numbers in 0..1 are accepted, as (0.6, 0.85)")
    if not 0 <= training.recipe.speech < math.inf:
        raise UsageError(f"training.recipe.speech={training.recipe.speech:g}: 0 and more are accepted")
    objective = getattr(system, "objective", None)
    if isinstance(objective, LossConfig):
        shortest = objective.segment_hops + system.lookahead_hops
        if objective.segment_hops < 1 or training.hops < shortest:
            raise UsageError(
                f"training.hops={training.hops}: must be at least {shortest}, a segment of the loss"
            )
