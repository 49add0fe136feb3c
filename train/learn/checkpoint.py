"""Checkpoints: the whole state of a run, so that it continues as if it had never stopped.

A model file contains the last checkpoint of its run, without the state of the optimiser. It can start another
run, and it can be exported again. A checkpoint holds plain values and tensors only, no classes of this
package, so that modules can move.
"""

from __future__ import annotations

import dataclasses
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtsep.errors import ModelError
from rtsep.model.package import has_entry, read_package
from rtsep.model.torchscript import without_warnings
from train.commandline import CHECKPOINT
from train.data.cache import whole_file
from train.learn.presets import from_plain, to_plain
from train.learn.system import Net, System

FILE = CHECKPOINT
HISTORY = "history.jsonl"
"""File in a run's folder: the figures of each validation, one a line."""

SONGS = "songs.json"
"""File in a run's folder: the scores of each validation song at the last validation."""

OUTCOME = "outcome.pt"
"""Entry of a model file that holds its checkpoint."""

VERSION = 2

SPENT = ("elapsed_s", "cpu_s", "audio_s")


@dataclass
class Checkpoint:
    """State of a run. Mixtures depend on seed, rank, step and progress alone, so `step` is their state."""

    system: System
    net: dict[str, Tensor]
    average: dict[str, Tensor]  # `net` with the moving average of its weights: what is exported
    optimiser: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    elapsed_s: float = 0.0  # of training, validation not counted
    cpu_s: float = 0.0  # of all replicas and their threads
    audio_s: float = 0.0  # of the mixtures of all replicas together
    # The same three totals of the earlier runs from which these weights come.
    earlier: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)  # one entry a validation
    songs: dict[str, list[float]] = field(
        default_factory=dict
    )  # SDR of voice and music of each song, at the last validation
    data: tuple[str, ...] = ()  # training sets: minutes, licence
    machine: str = ""  # hardware of the training

    @property
    def spent(self) -> dict[str, float]:
        """Totals of elapsed_s, cpu_s and audio_s for these weights, earlier runs included."""
        return {name: self.earlier.get(name, 0.0) + getattr(self, name) for name in SPENT}

    def average_net(self) -> Net:
        """The net with the averaged weights, in evaluation mode; `ModelError` if they are of another net."""
        net = self.system.net()
        put(self.average, net)
        return net.eval()


def put(weights: dict[str, Tensor], net: nn.Module) -> None:
    """Copy `weights` into `net`; `ModelError` if their names or shapes are those of another net."""
    if _shapes(weights) != _shapes(net.state_dict()):
        raise ModelError(
            "the weights are not those of the checkpoint's system; another version of train wrote them"
        )
    net.load_state_dict(weights)


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write `folder`/checkpoint.pt; a crash or a full disk while writing leaves the previous one."""
    content = _stored(checkpoint)
    with whole_file(folder / FILE) as file:
        file.write(content)


def save_history(checkpoint: Checkpoint, folder: Path) -> None:
    """Write `folder`/history.jsonl, and `folder`/songs.json if validation songs have scores."""
    with whole_file(folder / HISTORY) as file:
        file.write("".join(json.dumps(entry) + "\n" for entry in checkpoint.history).encode())
    if checkpoint.songs:
        with whole_file(folder / SONGS) as file:
            file.write(json.dumps(checkpoint.songs, indent=1).encode())


def outcome(checkpoint: Checkpoint) -> bytes:
    """Return the checkpoint for a model file: averaged weights only, for `load`."""
    return bytes(
        _stored(dataclasses.replace(checkpoint, net=checkpoint.average, optimiser={}, history=[], songs={}))
    )


def _stored(checkpoint: Checkpoint) -> memoryview:
    file = io.BytesIO()  # torch reports a full disk as a fault of the archive
    torch.save(_plain(checkpoint), file)
    return file.getbuffer()


def _plain(checkpoint: Checkpoint) -> dict[str, Any]:
    raw = {f.name: getattr(checkpoint, f.name) for f in dataclasses.fields(checkpoint)}
    return {"version": VERSION, **raw, "system": to_plain(checkpoint.system)}


def load(path: Path) -> Checkpoint:
    """Read a checkpoint from a file, the folder of a run, or a model file; `ModelError` if there is none."""
    file = path / FILE if path.is_dir() else path
    carried = read_package(file).entry(OUTCOME) if has_entry(file, OUTCOME) else None
    try:
        with without_warnings():  # torch's warnings; the errors below replace them
            raw = torch.load(io.BytesIO(carried) if carried else file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"{file}: no such checkpoint; 'python -m train fit' writes one") from None
    except Exception as error:  # torch raises many types for a broken file
        raise ModelError(f"{file}: not a checkpoint, or damaged ({error})") from None
    if not isinstance(raw, dict) or raw.pop("version", None) != VERSION:
        raise ModelError(f"{file}: not a checkpoint of this version of train")
    try:
        state = Checkpoint(system=from_plain(raw.pop("system")), **raw)
        for weights in (state.net, state.average):
            _shapes(weights)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file}: not a checkpoint of this version of train ({error})") from None
    return state
