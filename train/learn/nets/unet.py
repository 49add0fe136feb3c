"""The system `unet`: the U-Net of Jansson et al., patch by patch.

A. Jansson, E. Humphrey, N. Montecchio, R. Bittner, A. Kumar and T. Weyde, "Singing voice separation with deep
U-Net convolutional networks", ISMIR 2017:

    mono, 8192 Hz, Hann window 1024, hop 768: patches of 512 bins x 128 columns of magnitudes (12 s)
      -> masks of these patches (`unet_net`)

What the paper leaves open, and what is done here (`unet_net` has the input of the net):

- The loss is taken on the scaled magnitudes of the input, so that quiet patches count as loud ones do.
  The paper's L1,1 norm is the sum over a patch, the other form its mean. They differ by a constant, which
  Adam divides out: what is left of the difference is its epsilon.
- One net estimates the voice, another one the music. The model contract plays the voice: an instrumental net
  gives 1 - mask as the share of the voice, and the instrumental that is played is exactly what it estimates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from rtsep.dsp.windows import Framing
from rtsep.errors import UsageError, suggest
from train.learn.nets.precision import bfloat16
from train.learn.nets.unet_net import UNetNet, loudest, patches_of
from train.learn.nets.unet_program import UNetProgram
from train.learn.system import Net, System, Training

LOSSES = ("l1", "l11")
TARGETS = ("vocals", "instrumental")


@dataclass(frozen=True)
class UNet(System):
    """The U-Net and its sizes; the defaults are the paper's."""

    family: ClassVar[str] = "unet"

    # A patch of 12 s a mixture; no weight decay; a clip norm above the gradients of either loss.
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
    bfloat16: bool = True  # in training, if the processor supports it
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
        patches = patches_of(mix.abs(), self.columns)
        scale = loudest(patches)
        patches = patches / scale
        with bfloat16(waves.device, self.bfloat16):
            mask = net(patches)
        error = (mask * patches - patches_of(wanted.abs(), self.columns) / scale).abs()
        return error.mean() if self.loss_form == "l1" else error.sum((1, 2, 3)).mean()

    def program(self, net: Net) -> nn.Module:
        """The net as it is played, from the patch it keeps in its state."""
        assert isinstance(net, UNetNet)
        return UNetProgram(net)
