"""The moving average of weights during a run (EMA), and the batch norm statistics that belong to it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from train.learn.system import System


@torch.no_grad()
def update_ema(average: dict[str, Tensor], net: nn.Module, step: int, decay: float) -> None:
    """Move the averaged weights towards those of `net`, in place; buffers are copied.

    The average keeps min(`decay`, (1 + `step`) / (10 + `step`)) of itself, so that it forgets the random
    weights of the first steps. A `decay` of 0 copies the weights.
    """
    keep = min(decay, (1 + step) / (10 + step)) if decay else 0.0
    weights = dict(net.named_parameters())
    for name, value in net.state_dict().items():
        if name in weights:
            average[name].lerp_(value, 1 - keep)
        else:  # a buffer: running statistics, normalisation
            average[name].copy_(value)


@torch.no_grad()
def recalibrate_batchnorm(
    average: dict[str, Tensor], system: System, device: torch.device, batches: Iterator[Tensor]
) -> None:
    """Compute the running statistics of batch norms again for averaged weights, in place.

    The statistics of the training belong to other weights (P. Izmailov et al., "Averaging weights leads to
    wider optima", UAI 2018, section 3.2). `batches` are training batches [B, 2, 2, n]. A net without batch
    norms is not changed, and no batch is drawn.
    """
    net = system.net().to(device)
    net.load_state_dict(average)
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    net.eval()  # dropout off
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    for batch in batches:
        system.loss(net, batch.to(device))
    for name, value in net.state_dict().items():
        average[name].copy_(value)
