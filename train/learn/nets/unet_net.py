"""The net of `unet`: a patch of magnitudes in, its mask out.

    patches of 512 bins x 128 columns of magnitudes, scaled to 0..1
      -> 6 x [5x5 convolution of stride 2, batch norm, LeakyReLU 0.2]: 16, 32, 64, 128, 256, 512 channels
      -> 512 channels of 8 x 2
      -> 5 x [5x5 transposed convolution of stride 2, batch norm, ReLU, dropout 0.5 on the first three],
         each on the last one's output beside the encoder's of the same size
      -> one more, sigmoid: the mask of the patch

What the paper (`train.learn.nets.unet` cites it) leaves open, and what is done here:

- A transform of 1024 has 513 bins. Nyquist (4096 Hz, where the resampler has left nothing) is dropped; it
  takes the mask of its neighbour.
- The paper scales magnitudes to 0..1, by what it does not say. A stream does not know its maximum, but a
  patch is complete when its mask is made: each is divided by its own maximum. A level that does not change
  within a patch changes nothing; patches quieter than -100 dB of full scale stay quiet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.learn.nets.targets import magnitudes
from train.learn.system import Net

KERNEL = 5
DROPPED_OUT = 3  # decoder layers with dropout
PATCHES_AT_ONCE = 8
"""Patches of a recording in one pass: some 20 MB each while the net runs."""


class UNetNet(Net):
    """The net in its training form, patch by patch."""

    def __init__(self, bins: int, columns: int, width: int, levels: int, instrumental: bool) -> None:
        super().__init__()
        self.bins, self.columns, self.instrumental = bins, columns, instrumental
        channels = [1, *(width << level for level in range(levels))]  # 1, 16, .. 512
        half = {"kernel_size": KERNEL, "stride": 2, "padding": KERNEL // 2}
        self.encoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels[level], channels[level + 1], **half, bias=False),
                nn.BatchNorm2d(channels[level + 1]),
                nn.LeakyReLU(0.2),
            )
            for level in range(levels)
        )
        self.decoder = nn.ModuleList()
        for index, level in enumerate(reversed(range(levels))):
            inputs = channels[level + 1] * (1 if index == 0 else 2)
            last = level == 0
            layers: list[nn.Module] = [
                nn.ConvTranspose2d(inputs, channels[level], **half, output_padding=1, bias=last)
            ]
            if not last:
                layers += [nn.BatchNorm2d(channels[level]), nn.ReLU()]
                layers += [nn.Dropout(0.5)] if index < DROPPED_OUT else []
            self.decoder.append(nn.Sequential(*layers))

    def forward(self, patches: Tensor) -> Tensor:
        """Masks [N, 1, bins, columns] of scaled patches of magnitudes, of the same shape."""
        skips, x = [], patches
        for layer in self.encoder:
            x = layer(x)
            skips.append(x)
        skips.pop()
        for index, layer in enumerate(self.decoder):
            x = layer(x if index == 0 else torch.cat([x, skips.pop()], 1))
        return torch.sigmoid(x.float())

    def masks(self, columns: Tensor) -> Tensor:
        """Masks [T, 1, bins + 1] of columns [T, 1, bins + 1, 2], each `columns` - 1 steps late."""
        steps, late = columns.shape[0], self.columns - 1
        played = columns.new_zeros(steps, 1, self.bins + 1)
        whole = steps // self.columns * self.columns
        if whole == 0:
            return played
        found = []
        for part in magnitudes(columns[:whole, 0, : self.bins]).split(PATCHES_AT_ONCE * self.columns):
            patches = patches_of(part[None], self.columns)
            mask = self(patches / loudest(patches))
            found.append(mask[:, 0].transpose(1, 2).reshape(-1, self.bins))
        share = torch.cat(found)[: steps - late]
        if self.instrumental:
            share = 1 - share
        played[late : late + share.shape[0], 0] = torch.cat([share, share[:, -1:]], 1)
        return played


def patches_of(magnitude: Tensor, columns: int) -> Tensor:
    """Patches [B * n, 1, bins, columns] of magnitudes [B, T, bins]: n whole ones, the rest is left out."""
    whole = magnitude.shape[1] // columns
    parts = magnitude[:, : whole * columns].unflatten(1, (whole, columns))
    return parts.flatten(0, 1).transpose(1, 2)[:, None]


def loudest(patches: Tensor) -> Tensor:
    """Return the divisor of each patch [N, 1, bins, columns], its maximum [N, 1, 1, 1].

    At least -100 dB of full scale, so that silence is no division by nothing.
    """
    return patches.amax(dim=[2, 3], keepdim=True).clamp(min=1e-5)
