"""The small net of `column-resnet`: 12 convolutions over time and frequency, none of them padded in time.

    normalised levels of 25 columns
      -> convolution 3 columns x 9 bins, stride 4 over frequency: 129 places of `width` channels
      -> 5 residual blocks of two 3x3 convolutions, places apart by 1, 2, 4, 8, 16
      -> convolution 3x3 -> 4 logits a place: the mask of one column

Each convolution takes two columns, 25 become 1. None depends on where in the window it stands: all windows of
an excerpt are one pass, and the program (`column_resnet_small_program`) computes one column of each a hop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from train.learn.nets.targets import Levels, magnitudes
from train.learn.system import Net

BINS_A_PLACE = 4
SEEN_BINS = 9  # by a place, its own in the middle
TIME = 3  # columns of a convolution
WIDEST = 16  # places between the taps of a convolution over frequency, at most
COLUMNS_AT_ONCE = 512
"""Columns of a recording in one pass: some 10 MB a layer."""


class Block(nn.Module):
    """relu(x + two convolutions of it): [B, C, T, places] -> [B, C, T - 4, places]."""

    def __init__(self, width: int, spread: int, centred: bool) -> None:
        super().__init__()
        self.centred = centred
        layout = {"padding": (0, spread), "dilation": (1, spread), "bias": False}
        self.first = nn.Conv2d(width, width, TIME, **layout)
        self.norm_first = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, TIME, **layout)
        self.norm_second = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """The skip takes the column that the mask is of: in the middle, or the last one."""
        y = relu(self.norm_first(self.first(x)))
        skip = x[:, :, 2:-2] if self.centred else x[:, :, 4:]
        return relu(self.norm_second(self.second(y)) + skip)


class SmallResNet(Net):
    """The net in its training form: masks of all windows of an excerpt."""

    def __init__(
        self,
        width: int,
        window: int,
        centred: bool,
        *,
        bins: int,
        rate: int,
        power: float,
        mel_weighting: bool,
    ) -> None:
        super().__init__()
        self.bins, self.window, self.centred = bins, window, centred
        self.places = -(-bins // BINS_A_PLACE)
        self.levels = Levels(bins, rate, power, mel_weighting)
        self.stem = nn.Conv2d(1, width, (TIME, SEEN_BINS), (1, BINS_A_PLACE), (0, SEEN_BINS // 2), bias=False)
        self.norm_stem = nn.BatchNorm2d(width)
        # A convolution over frequency has no position: this distinguishes low and high places.
        self.whereabouts = nn.Parameter(torch.randn(width, 1, self.places) * 0.1)
        blocks = (window - 1) // (2 * (TIME - 1)) - 1
        self.blocks = nn.ModuleList(Block(width, min(WIDEST, 1 << i), centred) for i in range(blocks))
        self.join = nn.Conv2d(width, width, TIME, padding=(0, 1), bias=False)
        self.norm_join = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, BINS_A_PLACE, 1, bias=False)
        self.bias = nn.Parameter(torch.full((bins,), -1.0))

    def fit_levels(self, magnitude: Tensor) -> None:
        """Normalise by magnitudes [..., bins] of training mixtures."""
        self.levels.fit(self.levels.weighted(magnitude))

    def forward(self, magnitude: Tensor) -> Tensor:
        """Logits [B, T - window + 1, bins] of magnitudes [B, T, bins]."""
        x = self.levels(self.levels.weighted(magnitude))[:, None]
        x = relu(self.norm_stem(self.stem(x)) + self.whereabouts)
        for block in self.blocks:
            x = block(x)
        x = self.head(relu(self.norm_join(self.join(x))))  # [B, 4, T - window + 1, places]
        return x.permute(0, 2, 3, 1).flatten(2)[..., : self.bins] + self.bias

    def masks(self, columns: Tensor) -> Tensor:
        """Masks [T, 1, bins] of columns [T, 1, bins, 2], from silence before the first."""
        before = self.window - 1
        magnitude = pad(magnitudes(columns[:, 0]), (0, 0, before, 0))
        parts = [
            torch.sigmoid(self(magnitude[None, first : first + COLUMNS_AT_ONCE + before]))[0]
            for first in range(0, columns.shape[0], COLUMNS_AT_ONCE)
        ]
        return torch.cat(parts)[:, None]
