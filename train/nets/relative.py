"""Powers relative to the level heard of late: how loud the input is played makes no difference to a net.

Written for tensors on any device, and for TorchScript: a program keeps its level with the same lines.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FLOOR = 1e-5
"""Added to powers, which are relative to the level, before the logarithm."""

LEVEL_FLOOR = 1e-11
"""Added to the level: input under some -80 dB RMS is not lifted any more."""


def kept_of(level_s: float, hop: int, rate: int) -> float:
    """What a hop leaves of a level with the time constant `level_s`."""
    return math.exp(-hop / (level_s * rate))


def level_of_late(power: Tensor, keep: float) -> Tensor:
    """Mean of `power` [T, ...] over what was heard of late: weights fall by `keep` a hop, and sum to 1."""
    total, weight = torch.zeros_like(power[0]), 0.0
    level = torch.empty_like(power)
    for t in range(power.shape[0]):
        total = keep * total + power[t]
        weight = keep * weight + 1
        level[t] = total / weight
    return level
