"""The net of `column-dense`: four convolutions and two dense layers for the mask of one column.

    100 columns of 1025 magnitudes, log(1 + magnitude)
      -> 3x3 convolutions 1 -> 32 -> 16, largest of every 3x3
      -> 3x3 convolutions 16 -> 64 -> 16, largest of every 3x3
      -> 16 x 113 bins x 11 columns -> dense 256 -> dense 1025 -> sigmoid mask of one column

5,378,465 parameters, nearly all of them in the first dense layer. The plan of layers is that of J. Schlüter
and T. Grill, "Exploring data augmentation for improved singing voice detection with neural networks", ISMIR
2015, with fewer filters, and a bin of the mask for every output.

Input: columns here are scaled so that a full-scale sine has magnitude 1, where log(1 + x) is nearly x. The
plan was made for unscaled Hann windows, where it has `n_fft / 4`; that gain goes before the logarithm.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, max_pool2d, pad

from train.learn.nets.targets import magnitudes
from train.learn.system import Net

CHUNK = 8
"""Windows that `masks` computes at a time: 13 MB of activations each, and no faster with more."""


def levels(magnitude: Tensor, n_fft: int) -> Tensor:
    """Return the input levels of magnitudes, of the same shape; silence is 0."""
    return torch.log1p(magnitude * (n_fft / 4))


class ColumnDenseNet(Net):
    """The net in its training form: windows in, logits of their masks out."""

    def __init__(
        self,
        n_fft: int,
        window: int,
        filters: tuple[int, int, int, int],
        hidden: int,
        leak: float,
        dropout: tuple[float, float],
    ) -> None:
        super().__init__()
        self.bins, self.window, self.leak, self.n_fft = n_fft // 2 + 1, window, leak, n_fft
        sizes = (1, *filters)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(sizes)
        )
        pooled = (self.bins // 9) * (self.window // 9)
        self.first_dropout, self.second_dropout = (nn.Dropout(share) for share in dropout)
        self.hidden = nn.Linear(filters[-1] * pooled, hidden)
        self.mask = nn.Linear(hidden, self.bins)
        self.to(memory_format=torch.channels_last)  # convolutions forward and back: 1.7 times faster

    def forward(self, windows: Tensor) -> Tensor:
        """Map windows of levels [N, 1, bins, window] to the logits of their masks [N, bins]."""
        h = windows.contiguous(memory_format=torch.channels_last)
        for place, convolution in enumerate(self.convolutions):
            h = convolution(h)
            if place % 2:  # rectifiers never fall: the largest first is the same, and a ninth of the work
                h = max_pool2d(h, 3)
            h = leaky_relu(h, self.leak, inplace=True)
        h = leaky_relu(self.hidden(self.first_dropout(h).flatten(1)), self.leak)
        return self.mask(self.second_dropout(h))

    def masks(self, columns: Tensor) -> Tensor:
        """Masks [T, 1, bins] of one recording's columns [T, 1, bins, 2]; each window is computed in full."""
        padded = pad(levels(magnitudes(columns[:, 0]), self.n_fft), (0, 0, self.window - 1, 0))
        windows = padded.unfold(0, self.window, 1).unsqueeze(1)  # [T, 1, bins, window], a view
        return torch.sigmoid(torch.cat([self(some) for some in windows.split(CHUNK)])).unsqueeze(1)
