"""The system `column-dense`: the mask of one column from a window of 100 columns, by two dense layers.

    mono, 44100 Hz, 2048/512: 100 columns of 1025 magnitudes (1.16 s), log(1 + magnitude)
      -> 3x3 convolutions 1 -> 32 -> 16, largest of every 3x3
      -> 3x3 convolutions 16 -> 64 -> 16, largest of every 3x3
      -> 16 x 113 bins x 11 columns -> dense 256 -> dense 1025 -> sigmoid mask of the window's last column

5,378,465 parameters, nearly all of them in the first dense layer. The plan of layers is that of J. Schlüter
and T. Grill, "Exploring data augmentation for improved singing voice detection with neural networks", ISMIR
2015, with fewer filters, and a bin of the mask for every output.

Input: columns here are scaled so that a full-scale sine has magnitude 1, where log(1 + x) is nearly x. The
plan was made for unscaled Hann windows, where it has `n_fft / 4`; that gain goes before the logarithm.

Target: 1 in the bins of the column whose voice is louder than the music, else 0; binary cross-entropy. An
excerpt gives a window every `stride` columns, from a random first one on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, leaky_relu, max_pool2d, pad

from rtsep.dsp.windows import Framing
from rtsep.errors import UsageError, suggest
from train.nets.precision import bfloat16
from train.nets.targets import binary_mask, magnitudes
from train.system import Net, System, Training

if TYPE_CHECKING:
    from train.nets.column_dense_program import ColumnDenseProgram

COLUMNS = ("last", "centre")

CHUNK = 8
"""Windows that `masks` computes at a time: 13 MB of activations each, and no faster with more."""


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
    bfloat16: bool = True  # in training, where the processor multiplies it: nearly twice as fast
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
        return ColumnDenseNet(self)

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
        heard = levels(mix.abs(), self.n_fft)[:, first:].unfold(1, self.window, self.stride)[:, :count]
        with bfloat16(waves.device, self.bfloat16):
            logits = net(heard.flatten(0, 1).unsqueeze(1))
        return binary_cross_entropy_with_logits(logits.float(), wanted.flatten(0, 1))

    def program(self, net: Net) -> ColumnDenseProgram:
        """The net as it is played."""
        from train.nets.column_dense_program import ColumnDenseProgram

        assert isinstance(net, ColumnDenseNet)
        return ColumnDenseProgram(net)


def levels(magnitude: Tensor, n_fft: int) -> Tensor:
    """What the net hears of magnitudes, of the same shape; silence is 0."""
    return torch.log1p(magnitude * (n_fft / 4))


class ColumnDenseNet(Net):
    """The net in its training form: windows in, logits of their masks out."""

    def __init__(self, system: ColumnDense = ColumnDense()) -> None:
        super().__init__()
        self.bins, self.window, self.leak = system.framing.bins, system.window, system.leak
        self.n_fft = system.n_fft
        sizes = (1, *system.filters)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(sizes)
        )
        pooled = (self.bins // 9) * (self.window // 9)
        self.first_dropout, self.second_dropout = (nn.Dropout(share) for share in system.dropout)
        self.hidden = nn.Linear(system.filters[-1] * pooled, system.hidden)
        self.mask = nn.Linear(system.hidden, self.bins)
        self.to(memory_format=torch.channels_last)  # convolutions forward and back: 1.7 times faster

    def forward(self, heard: Tensor) -> Tensor:
        """Map windows of levels [N, 1, bins, window] to the logits of their masks [N, bins]."""
        h = heard.contiguous(memory_format=torch.channels_last)
        for place, convolution in enumerate(self.convolutions):
            h = convolution(h)
            if place % 2:  # rectifiers never fall: the largest first is the same, and a ninth of the work
                h = max_pool2d(h, 3)
            h = leaky_relu(h, self.leak, inplace=True)
        h = leaky_relu(self.hidden(self.first_dropout(h).flatten(1)), self.leak)
        return self.mask(self.second_dropout(h))

    def masks(self, columns: Tensor) -> Tensor:
        """Masks [T, 1, bins] of one recording's columns [T, 1, bins, 2]; every window is computed anew."""
        heard = pad(levels(magnitudes(columns[:, 0]), self.n_fft), (0, 0, self.window - 1, 0))
        windows = heard.unfold(0, self.window, 1).unsqueeze(1)  # [T, 1, bins, window], a view
        return torch.sigmoid(torch.cat([self(some) for some in windows.split(CHUNK)])).unsqueeze(1)
