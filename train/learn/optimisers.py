"""The optimisers by name, and one step of an optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from rtsep.errors import UsageError
from train.learn.soap import Soap
from train.learn.system import Training

BETAS = (0.9, 0.99)
OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, betas=BETAS),
    "adamw": partial(torch.optim.AdamW, betas=BETAS),
    "soap": Soap,  # with betas of its own
}


def make_optimiser(net: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Return the optimiser of `training` for the weights of `net`; `UsageError` for an unknown name."""
    if training.optimiser not in OPTIMISERS:
        raise UsageError(f"optimiser '{training.optimiser}' is none of {', '.join(OPTIMISERS)}")
    return OPTIMISERS[training.optimiser](
        net.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )


def clipped_step(net: nn.Module, optimiser: torch.optim.Optimizer, rate: float, max_norm: float) -> bool:
    """Make one optimiser step at learning rate `rate`, with the norm of the gradient limited to `max_norm`.

    A gradient that is not finite makes no step; the result is False then.
    """
    norm = float(nn.utils.clip_grad_norm_(net.parameters(), max_norm))
    if not math.isfinite(norm):
        return False
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
    return True
