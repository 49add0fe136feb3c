"""The system `column-resnet`: the mask of one column from a window of 25 columns, by a residual net.

    mono, 22050 Hz, 1024/256: 25 columns of 513 magnitudes (290 ms)
      -> mask of the column in their middle (12 columns of look-ahead) or of the last one (causal)

Two nets: "small" (`column_resnet_small`), rtsep's own, whose program keeps what it has computed of a window,
and "resnet18" (`column_resnet18`), a quarter as wide as K. He et al., "Deep residual learning for image
recognition", CVPR 2016, have it, computed in full for every window.

Input: magnitudes as levels in decibels, 0..1 from silence to full scale, then
- `mel_weighting`: weighted by the share of the mel scale that a bin covers, before levels are taken;
- `power`: levels to a power; 3 is the "cubed magnitudes scaled to 0..1" of the documents this system is from.
  Cubing spreads the loud part of the range and presses the quiet one together.
Full scale is full scale for "small": a window scaled by its own maximum would change with every column, and
nothing of it could be kept. Levels then vary as the training mixtures' do. For "resnet18" it is the window's
maximum, and a level that does not change within a window changes nothing.

Target: 1 in the bins of the column whose voice is louder than the music, else 0; binary cross-entropy. An
excerpt gives a window every `stride` columns, from a random first one on: "small" runs over the whole excerpt
as one convolution and leaves the rest out of the loss, "resnet18" computes those windows only.

What those documents do with the mask at inference are controls of the player (`rtsep.controls`), not of the
net, and may be turned while it plays: their `mask_at_eval` is `--mask binary`, its threshold `--threshold`,
their noise gate `--gate`. Without them the probabilities are the mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from rtsep.dsp.windows import Framing
from rtsep.errors import UsageError, suggest
from train.learn.nets.column_resnet18 import ResNet18, ResNet18Program
from train.learn.nets.column_resnet_small import SmallResNet
from train.learn.nets.column_resnet_small_program import SmallResNetProgram
from train.learn.nets.precision import bfloat16
from train.learn.nets.targets import binary_mask
from train.learn.system import Net, System, Training

VARIANTS = ("small", "resnet18")
COLUMNS = ("centre", "last")


@dataclass(frozen=True)
class ColumnResNet(System):
    """The system `column-resnet` and its choices."""

    family: ClassVar[str] = "column-resnet"

    training: Training = field(default_factory=lambda: Training(batch=4, hops=152))
    variant: str = "small"  # or "resnet18"
    column: str = "centre"  # of the window, whose mask it gives; or "last"
    mel_weighting: bool = False
    power: float = 1.0  # of the levels; 3: cubed
    stride: int = 1  # columns from one window of the loss to the next
    width: int = 32  # channels; of "resnet18" those of its first stage
    bfloat16: bool = True  # in training, if the processor supports it
    n_fft: int = 1024
    window: int = 25  # columns

    def __post_init__(self) -> None:
        for name, known in (("variant", VARIANTS), ("column", COLUMNS)):
            given = getattr(self, name)
            if given not in known:
                raise UsageError(f"{name} '{given}': must be {' or '.join(known)}{suggest(given, known)}")
        if self.window < 9 or self.window % 4 != 1:
            raise UsageError(f"window {self.window}: must be 9, 13, 17, 21, 25 and so on")
        if self.stride < 1 or self.power <= 0:
            raise UsageError(f"stride {self.stride}, power {self.power:g}: must be above 0")

    @property
    def framing(self) -> Framing:
        """Symmetric windows, a quarter of them a hop."""
        return Framing(self.n_fft, self.n_fft, self.n_fft // 4)

    @property
    def rate(self) -> int:
        """Half the usual one."""
        return 22050

    @property
    def channels(self) -> int:
        """The mid alone."""
        return 1

    @property
    def lookahead_hops(self) -> int:
        """Columns of the window after the one whose mask it gives."""
        return self.window // 2 if self.column == "centre" else 0

    @property
    def context_hops(self) -> int:
        """The window."""
        return self.window - 1

    @property
    def band_above(self) -> str:
        """Above 11 kHz the mix follows the masks below."""
        return "follow"

    @property
    def golden_steps(self) -> int:
        """A window full, and one more."""
        return self.window + 1

    def net(self) -> SmallResNet | ResNet18:
        """A new net with random weights."""
        ears: dict[str, Any] = {"bins": self.framing.bins, "rate": self.rate, "power": self.power}
        net: SmallResNet | ResNet18
        if self.variant == "small":
            net = SmallResNet(
                self.width, self.window, self.column == "centre", mel_weighting=self.mel_weighting, **ears
            )
        else:
            net = ResNet18(self.width, self.window, mel_weighting=self.mel_weighting, **ears)
        return net.to(memory_format=torch.channels_last)  # trains up to half as fast again

    def _windows(self, magnitude: Tensor, first: int) -> Tensor:
        # [B, T, bins] to the windows of the loss [B * n, window, bins]
        cut = magnitude[:, first:].unfold(1, self.window, self.stride)  # [B, n, bins, window]
        return cut.flatten(0, 1).transpose(1, 2)

    def normalise(self, net: Net, waves: Tensor) -> None:
        """Normalise the levels, bin by bin."""
        assert isinstance(net, SmallResNet | ResNet18)
        mix = self.spectra(waves[:, 1])[:, 0].abs()  # [B, T, bins]
        net.fit_levels(mix if self.variant == "small" else self._windows(mix, 0))

    def loss(self, net: Callable[..., Any], waves: Tensor) -> Tensor:
        """Binary cross-entropy, mean over bins and windows."""
        voice, mix = self.spectra(waves)[:, :, 0].unbind(1)  # [B, T, bins]
        windows = mix.shape[1] - self.window + 1
        if windows < self.stride:
            raise UsageError(
                f"hops {mix.shape[1] - 1}: too short for windows of {self.window} every {self.stride}; "
                f"take at least {self.window + self.stride - 2}"
            )
        first = int(torch.randint(self.stride, ()))
        own = self.window - 1 - self.lookahead_hops  # place of the mask's column in its window
        wanted = binary_mask(voice, mix - voice)[:, own : own + windows][:, first :: self.stride]
        with bfloat16(waves.device, self.bfloat16):
            if self.variant == "small":
                logits = net(mix.abs())[:, first :: self.stride]
            else:
                logits = net(self._windows(mix.abs(), first)).view_as(wanted)
        return binary_cross_entropy_with_logits(logits.float(), wanted)

    def program(self, net: Net) -> nn.Module:
        """The net as it is played."""
        if isinstance(net, ResNet18):
            return ResNet18Program(net)
        assert isinstance(net, SmallResNet)
        return SmallResNetProgram(net)
