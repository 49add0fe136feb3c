"""Schedules of a run: the learning rate, and the share of real songs among the mixtures."""

from __future__ import annotations

import math

from rtsep.errors import UsageError
from train.learn.system import Training

CYCLES = 6
"""Number of triangles of the cyclic schedule, each half as high as the one before."""

FLOOR = 0.01
"""Final learning rate of a schedule, relative to its peak."""

SCHEDULES = ("cosine", "cyclic", "constant")


def learning_rate(progress: float, step: int, training: Training) -> float:
    """Return the learning rate at `progress` (0..1) of the run, warmed up over the first steps.

    "cosine": half a cosine from the peak to a hundredth (I. Loshchilov and F. Hutter, "SGDR", ICLR 2017,
    without restarts). "cyclic": triangles of halving height (L. N. Smith, "Cyclical learning rates for
    training neural networks", WACV 2017, policy "triangular2"). "constant": the peak.
    """
    progress = min(1.0, max(0.0, progress))
    if training.schedule == "cosine":
        shape = FLOOR + (1 - FLOOR) * (0.5 + 0.5 * math.cos(math.pi * progress))
    elif training.schedule == "cyclic":
        cycle = min(CYCLES - 1, int(progress * CYCLES))
        within = progress * CYCLES - cycle
        shape = FLOOR + (1 - FLOOR) * (1 - abs(2 * within - 1)) * 0.5**cycle
    elif training.schedule == "constant":
        shape = 1.0
    else:
        raise UsageError(f"schedule '{training.schedule}' is none of {', '.join(SCHEDULES)}")
    return training.learning_rate * min(1.0, (step + 1) / training.warmup_steps) * shape


def true_share(progress: float, training: Training) -> float:
    """Return the share of real songs: constant for 65 % of the run, then rising, to end near real music."""
    first, last = training.true_share
    return first + (last - first) * min(1.0, max(0.0, (progress - 0.65) / 0.15))
