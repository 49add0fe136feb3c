"""The interface of a system: a frozen dataclass of the sizes and options of a net and its training.

Training, validation, the export gate and the tables use a system only through this class. A new system is a
file in `nets/` with a net (training form), a program (streaming form) and a subclass of `System`, and a line
in `presets.py`.
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
    """Default options of the training of a system; the command line can change them."""

    batch: int = 3  # mixtures a step, each process
    hops: int = 516  # of each mixture, after the first whole frame
    optimiser: str = "adamw"  # or "adam", "soap"
    learning_rate: float = 2e-3  # at its peak
    schedule: str = "cosine"  # or "cyclic" (triangles), "constant"
    warmup_steps: int = 100
    weight_decay: float = 0.01
    clip: float = 5.0  # norm of the gradient
    average: float = 0.998  # of the moving average of weights, which is exported; 0: the last weights
    true_share: tuple[float, float] = (
        0.6,
        0.85,
    )  # share of mixtures that are real songs: at the beginning and at the end
    recipe: Recipe = field(default_factory=Recipe)


class Program(Protocol):
    """A program by the model contract: the streaming form of a net."""

    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Return the mask of one column; `state` is updated in place."""

    def offline(self, columns: Tensor) -> Tensor:
        """Return the masks of all columns, from a zero state."""


class Net(nn.Module):
    """The training form of a system's net: `forward` is the system's own, `masks` the model contract's."""

    def masks(self, columns: Tensor) -> Tensor:
        """Return the masks [T, channels, bins] of the columns [T, channels, bins, 2] of a recording.

        The state is zero at the start. As with `offline` of `rtsep.model.contract`, the mask of step t
        belongs to the column of step t - lookahead_hops.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class System(abc.ABC):
    """A system with its sizes. System and weights together define a model."""

    family: ClassVar[str]
    """Name of the subclass in checkpoints and specs."""

    training: Training = field(default_factory=Training)

    # ------------------------------------------------------------------ facts
    @property
    @abc.abstractmethod
    def framing(self) -> Framing:
        """The STFT before and after the net."""

    @property
    def rate(self) -> int:
        """Sample rate of the training in Hz."""
        return RATE

    @property
    def rates(self) -> tuple[int, ...]:
        """Sample rates in Hz at which it plays without resampling.

        (44100, 48000) if the training varies the pitch, as `gru` does: a device at 48 kHz then needs no
        resampling, which costs 2.4 ms.
        """
        return (self.rate,)

    @property
    def channels(self) -> int:
        """Columns for each hop: 2 (mid and side), or 1 (mid alone; its mask is used for both)."""
        return 2

    @property
    def lookahead_hops(self) -> int:
        """Number of hops between a column and its mask."""
        return 0

    @property
    def context_hops(self) -> int | None:
        """Number of past columns that a mask depends on; None for all of them (recurrent nets)."""
        return None

    @property
    def band_above(self) -> str:
        """Destination of the band above that of the system, by the model contract."""
        return "instrumental"

    @property
    def golden_steps(self) -> int:
        """Number of steps of the golden frames of a model file; some of their masks must not be 0."""
        return 6

    # ------------------------------------------------------------------ making it
    @abc.abstractmethod
    def net(self) -> Net:
        """Return a new net with random weights, by the generator of torch."""

    def normalise(self, net: Net, waves: Tensor) -> None:
        """Set the normalisation statistics of the net from mixtures like those of `loss`."""
        del net, waves  # most systems have no statistics

    @abc.abstractmethod
    def loss(self, net: Callable[..., Any], waves: Tensor) -> Tensor:
        """Return the loss of a batch `waves` [B, 2 (voice, mix), 2 (left, right), n] on its device.

        `net` may be wrapped for data parallelism: it may only be called.
        """

    def calibrate(self, net: Net, slope: float, offset: float) -> None:
        """Replace the mask logits of `net` by slope * logits + offset (see `train.learn.calibrate`).

        Raises `UsageError` if the net has no such logits.
        """
        raise UsageError(f"a system '{self.family}' has no mask logits to calibrate")

    @abc.abstractmethod
    def program(self, net: Net) -> nn.Module:
        """Return the streaming form for scripting: `step`, `offline` and `state_size` by the contract."""

    # ------------------------------------------------------------------ shared by all
    @property
    def frames(self) -> int:
        """Length of a training mixture in samples at `rate`."""
        return self.framing.n_fft + self.training.hops * self.framing.hop

    def spectra(self, waves: Tensor) -> Tensor:
        """Return the complex columns [..., channels, T, bins] of `waves` [..., 2 (left, right), n]."""
        window = windows(self.framing)[0].to(waves.device)
        return analyse(mid_side(waves)[..., : self.channels, :], self.framing, window)

    def spec(self, net: Net, program: nn.Module, name: str, **more: Any) -> ModelSpec:
        """Return the spec of a model; `more` are further entries."""
        framing = self.framing
        column = torch.zeros(self.channels, framing.bins, 2)
        if not hasattr(program, "state_size"):
            raise UsageError(
                f"the program of a system '{self.family}' has no state_size: give the number of floats of "
                "its state, 0 for none"
            )
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
    """Return the multiply-accumulates of the matrix products in a step, as torch counts them.

    The result is the mean over `steps`: some programs compute a patch only once in a look-ahead.
    """
    state = torch.zeros(state_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for _ in range(steps):
            program.step(column, state)
    return int(counter.get_total_flops()) // (2 * steps)
