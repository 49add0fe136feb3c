"""The system `column-dense`: the mask of one column from a window of 100 columns, by two dense layers.

    mono, 44100 Hz, 2048/512: 100 columns of 1025 magnitudes (1.16 s)
      -> mask of the last one, or of the one in their middle (`column_dense_net`)

Target: 1 in the bins of the column whose voice is louder than the music, else 0; binary cross-entropy. An
excerpt gives a window every `stride` columns, from a random first one on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from rtsep.dsp.windows import Framing
from rtsep.errors import UsageError, suggest
from train.learn.nets.column_dense_net import ColumnDenseNet, levels
from train.learn.nets.column_dense_program import ColumnDenseProgram
from train.learn.nets.precision import bfloat16
from train.learn.nets.targets import binary_mask
from train.learn.system import Net, System, Training

COLUMNS = ("last", "centre")


@dataclass(frozen=True)
class ColumnDense(System):
    """The system `column-dense` and its choices."""

    family: ClassVar[str] = "column-dense"

    training: Training = field(
        default_factory=lambda: Training(
            batch=8, hops=198, optimiser="adam", learning_rate=1e-3, weight_decay=0.0
        )
    )
    column: str = "last"  # of the window, whose mask it gives; or "centre"
    stride: int = 50  # columns from one window of the loss to the next
    bfloat16: bool = True  # in training, if the processor supports it: nearly twice as fast
    n_fft: int = 2048
    window: int = 100  # columns
    filters: tuple[int, int, int, int] = (32, 16, 64, 16)
    hidden: int = 256
    leak: float = 0.01  # slope below zero
    dropout: tuple[float, float] = (0.25, 0.5)  # before the first dense layer, and before the second

    def __post_init__(self) -> None:
        if self.column not in COLUMNS:
            raise UsageError(f"column '{self.column}': must be last or centre{suggest(self.column, COLUMNS)}")
        if self.window < 28 or self.window % 9 != 1:
            raise UsageError(f"window {self.window}: must be 28, 37, ..., 91, 100, 109 and so on")
        if len(self.filters) != 4 or min(self.filters) < 1:
            raise UsageError(f"filters {self.filters}: four convolutions need four numbers of at least 1")
        if self.stride < 1 or not 0 <= self.leak < 1:
            raise UsageError(f"stride {self.stride}, leak {self.leak:g}: must be at least 1, and within 0..1")

    @property
    def framing(self) -> Framing:
        """Symmetric windows, a quarter of them a hop."""
        return Framing(self.n_fft, self.n_fft, self.n_fft // 4)

    @property
    def rates(self) -> tuple[int, ...]:
        """Both common rates: training moves pitch by more than they differ."""
        return (44100, 48000)

    @property
    def channels(self) -> int:
        """The mid alone."""
        return 1

    @property
    def lookahead_hops(self) -> int:
        """Columns of the window after the one whose mask it gives."""
        return self.window - 1 - self.window // 2 if self.column == "centre" else 0

    @property
    def context_hops(self) -> int:
        """The window."""
        return self.window - 1

    @property
    def golden_steps(self) -> int:
        """A window full, and one more."""
        return self.window + 1

    def net(self) -> ColumnDenseNet:
        """A new net with random weights."""
        return ColumnDenseNet(self.n_fft, self.window, self.filters, self.hidden, self.leak, self.dropout)

    def loss(self, net: Callable[..., Any], waves: Tensor) -> Tensor:
        """Binary cross-entropy, mean over bins and windows."""
        voice, mix = self.spectra(waves)[:, :, 0].unbind(1)  # [B, T, bins] complex
        count = (mix.shape[1] - self.window + 1) // self.stride  # windows, wherever the first one lies
        if count < 1:
            raise UsageError(
                f"hops {mix.shape[1] - 1}: too short for windows of {self.window} every {self.stride}; "
                f"take at least {self.window + self.stride - 2}"
            )
        first = int(torch.randint(self.stride, ()))
        own = first + self.window - 1 - self.lookahead_hops  # the first mask's column
        wanted = binary_mask(voice, mix - voice)[:, own :: self.stride][:, :count]
        windows = levels(mix.abs(), self.n_fft)[:, first:].unfold(1, self.window, self.stride)[:, :count]
        with bfloat16(waves.device, self.bfloat16):
            logits = net(windows.flatten(0, 1).unsqueeze(1))
        return binary_cross_entropy_with_logits(logits.float(), wanted.flatten(0, 1))

    def program(self, net: Net) -> ColumnDenseProgram:
        """The net as it is played."""
        assert isinstance(net, ColumnDenseNet)
        return ColumnDenseProgram(net)
