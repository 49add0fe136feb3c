"""Powers relative to the recent level, so that the level of the input makes no difference to a net.

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
    """Return the share of a level that remains after a hop, with the time constant `level_s`."""
    return math.exp(-hop / (level_s * rate))


def level_of_late(power: Tensor, keep: float) -> Tensor:
    """Return the recent mean of `power` [T, ...]: weights fall by `keep` a hop, and sum to 1.

    In log2(T) passes, each of which doubles how far back a sum reaches: a GPU would spend its time on the
    launches of a pass for each hop.
    """
    sums = torch.stack([power, torch.ones_like(power)], 1)  # of powers, and of their weights
    span, kept = 1, keep
    while span < power.shape[0]:
        sums = torch.cat([sums[:span], sums[span:] + kept * sums[:-span]])
        span, kept = 2 * span, kept * kept
    return sums[:, 0] / sums[:, 1]
