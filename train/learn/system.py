"""What the trainer knows of a system. A system is a preset: a frozen dataclass of its sizes and choices.

Fitting, validation, the export gate and the tables see a system only through this class; a new one is a file
in `nets/` with a net (training form), a program (what is played) and a subclass of `System`, and a line in
`presets.py`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rtsep.dsp.windows import Framing
from rtsep.errors import UsageError
from rtsep.model.contract import ModelSpec
from train.data.cache import RATE
from train.data.remix import Recipe
from train.learn.stft import analyse, mid_side, windows


@dataclass(frozen=True)
class Training:
    """How a system is trained unless the command line says otherwise."""

    batch: int = 3  # mixtures a step, each process
    hops: int = 516  # of each mixture, after the first whole frame
    optimiser: str = "adamw"  # or "adam", "soap"
    learning_rate: float = 2e-3  # at its peak
    schedule: str = "cosine"  # or "cyclic" (triangles), "constant"
    warmup_steps: int = 100
    weight_decay: float = 0.01
    clip: float = 5.0  # norm of the gradient
    average: float = 0.998  # of the moving average of weights, which is what is exported; 0: the last ones
    true_share: tuple[float, float] = (0.6, 0.85)  # of mixtures that are real songs: first, and at the end
    recipe: Recipe = field(default_factory=Recipe)


class Program(Protocol):
    """What the model contract asks of a program."""

    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """One column to one mask, `state` advanced in place."""

    def offline(self, columns: Tensor) -> Tensor:
        """All columns to all masks, from a zero state."""


class Net(nn.Module):
    """The training form of a system's net: `forward` is the system's own, `masks` the model contract's."""

    def masks(self, columns: Tensor) -> Tensor:
        """Masks [T, channels, bins] of one recording's columns [T, channels, bins, 2], from a zero state.

        As `offline` of `rtsep.model.contract` has it: the mask of step t belongs to the column of step
        t - lookahead_hops.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class System(abc.ABC):
    """A system and its sizes; together with the weights of its net they define a model."""

    family: ClassVar[str]
    """Which subclass this is, in checkpoints and specs."""

    training: Training = field(default_factory=Training)

    # ------------------------------------------------------------------ facts
    @property
    @abc.abstractmethod
    def framing(self) -> Framing:
        """The STFT that feeds and plays it."""

    @property
    def rate(self) -> int:
        """Sample rate in Hz that it is trained at."""
        return RATE

    @property
    def rates(self) -> tuple[int, ...]:
        """Sample rates in Hz that it is played at natively."""
        return (self.rate,)

    @property
    def channels(self) -> int:
        """Columns a hop: 2 (mid and side), or 1 (mid alone, whose mask plays both)."""
        return 2

    @property
    def lookahead_hops(self) -> int:
        """Hops by which a mask comes after its column."""
        return 0

    @property
    def context_hops(self) -> int | None:
        """Past columns that a mask depends on; None: all of them, by recurrence."""
        return None

    @property
    def band_above(self) -> str:
        """Where what lies above its band goes, by the rules of the model contract."""
        return "instrumental"

    @property
    def golden_steps(self) -> int:
        """Steps that a model file replays to prove itself: enough that a mask is not all zeros."""
        return 6

    # ------------------------------------------------------------------ making it
    @abc.abstractmethod
    def net(self) -> Net:
        """A new net with random weights (from torch's generator)."""

    def normalise(self, net: Net, waves: Tensor) -> None:
        """Set what the net keeps of its data's statistics, from mixtures like those of `loss`."""
        del net, waves  # most keep nothing

    @abc.abstractmethod
    def loss(self, net: Callable[..., Any], waves: Tensor) -> Tensor:
        """Loss of a batch `waves` [B, 2 (voice, mix), 2 (left, right), n], on the net's device.

        `net` may be wrapped for data parallelism: it is to be called, nothing else.
        """

    def calibrate(self, net: Net, slope: float, offset: float) -> None:
        """Replace the mask logits of `net` by slope * logits + offset (see `train.learn.calibrate`).

        Raises `UsageError` where no layer ends in them.
        """
        raise UsageError(f"a system '{self.family}' has no mask logits to calibrate")

    @abc.abstractmethod
    def program(self, net: Net) -> nn.Module:
        """The played form, for scripting: `step`, `offline`, `state_size` of `rtsep.model.contract`."""

    # ------------------------------------------------------------------ shared by all
    @property
    def frames(self) -> int:
        """Samples of a training mixture at `rate`."""
        return self.framing.n_fft + self.training.hops * self.framing.hop

    def spectra(self, waves: Tensor) -> Tensor:
        """Columns [..., channels, T, bins] complex of `waves` [..., 2 (left, right), n]."""
        window = windows(self.framing)[0].to(waves.device)
        return analyse(mid_side(waves)[..., : self.channels, :], self.framing, window)

    def spec(self, net: Net, program: nn.Module, name: str, **more: Any) -> ModelSpec:
        """Describe a model; `more` are further entries of the spec."""
        framing = self.framing
        column = torch.zeros(self.channels, framing.bins, 2)
        size = int(program.state_size)  # type: ignore[arg-type]
        entries: dict[str, Any] = {
            "system": self.family,
            "n_fft": framing.n_fft,
            "synthesis": framing.synthesis,
            "hop": framing.hop,
            "rates": self.rates,
            "channels": self.channels,
            "lookahead_hops": self.lookahead_hops,
            "band_above": self.band_above,
            "context_hops": self.context_hops,
            "params": sum(p.numel() for p in net.parameters()),
            "macs_per_hop": count_macs(program, column, size, self.lookahead_hops + 1),
            "state_size": size,
        }
        return ModelSpec(name=name, **(entries | more))


def count_macs(program: nn.Module, column: Tensor, state_size: int, steps: int = 1) -> int:
    """Multiply-accumulates a step, as torch counts its matrix products.

    The mean over `steps`: a program that works by patches does so once in a look-ahead.
    """
    state = torch.zeros(state_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for _ in range(steps):
            program.step(column, state)
    return int(counter.get_total_flops()) // (2 * steps)
