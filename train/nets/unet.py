"""The system `unet`: the U-Net of Jansson et al., patch by patch.

A. Jansson, E. Humphrey, N. Montecchio, R. Bittner, A. Kumar and T. Weyde, "Singing voice separation with deep
U-Net convolutional networks", ISMIR 2017:

    mono, 8192 Hz, Hann window 1024, hop 768: patches of 512 bins x 128 columns of magnitudes (12 s)
      -> 6 x [5x5 convolution of stride 2, batch norm, LeakyReLU 0.2]: 16, 32, 64, 128, 256, 512 channels
      -> 512 channels of 8 x 2
      -> 5 x [5x5 transposed convolution of stride 2, batch norm, ReLU, dropout 0.5 on the first three],
         each on the last one's output beside the encoder's of the same size
      -> one more, sigmoid: the mask of the patch

What the paper leaves open, and what is done here:

- A transform of 1024 has 513 bins. Nyquist (4096 Hz, where the resampler has left nothing) is dropped; it
  takes the mask of its neighbour.
- The paper scales magnitudes to 0..1, by what it does not say. A stream does not know its maximum, but a
  patch is complete when its mask is made: each is divided by its own maximum. A level that does not change
  within a patch changes nothing; patches quieter than -100 dB of full scale stay quiet.
- The loss is taken on these scaled magnitudes, so that quiet patches count as loud ones do. The paper's L1,1
  norm is the sum over a patch, the other form its mean. They differ by a constant, which Adam divides out:
  what is left of the difference is its epsilon.
- One net estimates the voice, another one the music. The model contract plays the voice: an instrumental net
  gives 1 - mask as the share of the voice, and the instrumental that is played is exactly what it estimates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rtsep.dsp.windows import Framing
from rtsep.errors import UsageError, suggest
from train.nets.precision import bfloat16
from train.nets.targets import magnitudes
from train.nets.unet_program import UNetProgram, loudest
from train.system import Net, System, Training

LOSSES = ("l1", "l11")
TARGETS = ("vocals", "instrumental")
KERNEL = 5
DROPPED_OUT = 3  # decoder layers with dropout
PATCHES_AT_ONCE = 8
"""Of a whole recording: some 20 MB each while the net runs."""


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
            heard = channels[level + 1] * (1 if index == 0 else 2)
            last = level == 0
            layers: list[nn.Module] = [
                nn.ConvTranspose2d(heard, channels[level], **half, output_padding=1, bias=last)
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


@dataclass(frozen=True)
class UNet(System):
    """The U-Net and its sizes; the defaults are the paper's."""

    family: ClassVar[str] = "unet"

    # A patch of 12 s a mixture; no weight decay, and the clip out of the way of either loss.
    training: Training = field(
        default_factory=lambda: Training(
            batch=4,
            hops=127,
            optimiser="adam",
            learning_rate=1e-3,
            schedule="constant",
            weight_decay=0.0,
            clip=1e9,
        )
    )
    loss_form: str = "l1"  # mean over a patch; or "l11", the sum
    target: str = "vocals"  # or "instrumental"
    bfloat16: bool = True  # in training, where the processor multiplies it
    bins: int = 512
    columns: int = 128  # of a patch
    width: int = 16  # channels of the first layer; each further one has twice as many
    levels: int = 6

    def __post_init__(self) -> None:
        for name, known in (("loss_form", LOSSES), ("target", TARGETS)):
            given = getattr(self, name)
            if given not in known:
                raise UsageError(f"{name} '{given}': must be {' or '.join(known)}{suggest(given, known)}")
        if self.bins % (1 << self.levels) or self.columns % (1 << self.levels):
            raise UsageError(
                f"a patch of {self.bins} x {self.columns} cannot be halved {self.levels} times; "
                f"take multiples of {1 << self.levels}"
            )

    @property
    def framing(self) -> Framing:
        """Hann windows with a quarter of overlap."""
        return Framing(2 * self.bins, 2 * self.bins, 3 * self.bins // 2)

    @property
    def rate(self) -> int:
        """The paper's: the voice below 4 kHz."""
        return 8192

    @property
    def channels(self) -> int:
        """The mid alone."""
        return 1

    @property
    def lookahead_hops(self) -> int:
        """A patch must be complete before the mask of its first column is there."""
        return self.columns - 1

    @property
    def context_hops(self) -> int:
        """The last mask of a patch comes when the next patch is all but complete."""
        return 2 * self.columns - 2

    @property
    def band_above(self) -> str:
        """Above 4 kHz the mix follows the masks below."""
        return "follow"

    @property
    def golden_steps(self) -> int:
        """A patch, and a few masks of it."""
        return self.columns + 2

    def net(self) -> UNetNet:
        """A new net with random weights."""
        return UNetNet(self.bins, self.columns, self.width, self.levels, self.target == "instrumental")

    def loss(self, net: Callable[..., Any], waves: Tensor) -> Tensor:
        """|mask * |mix| - |target|| of scaled patches, mean or sum over a patch, mean over patches."""
        spectra = self.spectra(waves)[:, :, 0, :, : self.bins]  # [B, 2, T, bins]
        if spectra.shape[2] < self.columns:
            raise UsageError(
                f"hops {spectra.shape[2] - 1}: shorter than a patch; take at least {self.columns - 1}"
            )
        voice, mix = spectra.unbind(1)
        wanted = voice if self.target == "vocals" else mix - voice
        heard = patches_of(mix.abs(), self.columns)
        scale = loudest(heard)
        heard = heard / scale
        with bfloat16(waves.device, self.bfloat16):
            mask = net(heard)
        error = (mask * heard - patches_of(wanted.abs(), self.columns) / scale).abs()
        return error.mean() if self.loss_form == "l1" else error.sum((1, 2, 3)).mean()

    def program(self, net: Net) -> nn.Module:
        """The net as it is played, from the patch it keeps in its state."""
        assert isinstance(net, UNetNet)
        return UNetProgram(net)
