"""The first state of a run: a new net, with the weights of another run if one is given."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from rtsep.errors import ModelError
from train.learn import checkpoint as checkpoints
from train.learn.checkpoint import Checkpoint
from train.learn.fit_config import FitConfig
from train.learn.mixtures import Mixtures
from train.learn.system import Net

NORMALISATION_MIXTURES = 24
"""Number of mixtures that a new net takes its normalisation statistics from."""

NORMALISATION_STEP = 2**20
"""Step whose mixtures these are; no run gets that far, so that none of them is trained on."""


def new_run(config: FitConfig, mixtures: Mixtures) -> Checkpoint:
    """Return the state of a new run at step 0.

    The net is random, by `config.seed`, and normalised by some mixtures. The weights of `config.init` replace
    its own if name and shape are equal; the licences and the training time go with them. Raises `ModelError`
    if none of them fits.
    """
    torch.manual_seed(config.seed)
    net = config.system.net()
    before = checkpoints.load(config.init) if config.init else None
    known = _fitting(net, before.average, config.init) if before and config.init else {}
    if len(known) < len(net.state_dict()):
        share = config.system.training.true_share[0]
        config.system.normalise(net, mixtures.batch(NORMALISATION_STEP, NORMALISATION_MIXTURES, share))
    net.load_state_dict(net.state_dict() | known)
    average = {name: value.clone() for name, value in net.state_dict().items()}
    data, earlier = (before.data, before.spent) if before else ((), {})
    return Checkpoint(config.system, net.state_dict(), average, data=data, earlier=earlier)


def _fitting(net: Net, weights: dict[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Return those of `weights` that fit `net` by name and shape; print the names of the others."""
    wanted = net.state_dict()
    fits = {name for name, value in weights.items() if name in wanted and wanted[name].shape == value.shape}
    if not any(name in fits for name, _ in net.named_parameters()):
        raise ModelError(f"--init {source}: weights of another net; none of them fits")
    if new := sorted(wanted.keys() - fits):
        counts = f"{len(fits)} of {len(wanted)} weights fit"
        print(f"--init {source}: {counts}; new ones: {', '.join(new)}", flush=True)
    return {name: weights[name] for name in fits}
