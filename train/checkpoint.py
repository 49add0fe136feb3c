"""Checkpoints: everything a run needs to go on as if it had never stopped, never half written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rtsep.errors import ModelError
from train.cache import whole_file
from train.presets import from_plain, to_plain
from train.system import Net, System

FILE = "checkpoint.pt"
VERSION = 2


@dataclass
class Checkpoint:
    """State of a run. Mixtures depend on seed, rank, step and how far the run is: `step` is their state."""

    system: System
    net: dict[str, Tensor]
    average: dict[str, Tensor]  # `net` with the moving average of its weights: what is exported
    optimiser: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    elapsed_s: float = 0.0  # of training, validation not counted
    cpu_s: float = 0.0  # of all replicas and their threads
    audio_s: float = 0.0  # heard by all processes together
    history: list[dict[str, float]] = field(default_factory=list)  # one entry a validation
    data: tuple[str, ...] = ()  # training sets: minutes, licence
    machine: str = ""  # what it was trained on

    def average_net(self) -> Net:
        """The net with the averaged weights, in evaluation mode."""
        net = self.system.net()
        net.load_state_dict(self.average)
        return net.eval()


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write `folder`/checkpoint.pt; a crash or a full disk while writing leaves the previous one."""
    raw = {f.name: getattr(checkpoint, f.name) for f in dataclasses.fields(checkpoint)}
    raw["system"] = to_plain(checkpoint.system)
    with whole_file(folder / FILE) as file:
        torch.save({"version": VERSION, **raw}, file)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint (a file, or the folder of a run)."""
    file = path / FILE if path.is_dir() else path
    try:
        raw = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"{file}: no such checkpoint; 'python -m train fit' writes one") from None
    except Exception as error:  # torch raises half a dozen kinds for a broken file
        raise ModelError(f"{file}: not a checkpoint, or a broken one ({error})") from None
    if not isinstance(raw, dict) or raw.pop("version", None) != VERSION:
        raise ModelError(f"{file}: not a checkpoint of this version of train")
    try:
        system = from_plain(raw.pop("system"))
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from None
    return Checkpoint(system=system, **raw)
