"""Inputs and targets of several nets: magnitudes, levels, weights of the mel scale, binary masks.

Written for tensors on any device, and for TorchScript: a program computes its input with the same lines as
the net it was made from.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEL_KNEE_HZ = 700.0
"""Constant of the mel scale m(f) = 2595 log10(1 + f / 700 Hz) (O'Shaughnessy 1987)."""

MEL_UNIT_HZ = 1000.0
"""Frequency at which a weight is 1."""

RANGE_DB = 90.0
"""From full scale down to what counts as silence."""


def magnitudes(columns: Tensor) -> Tensor:
    """Magnitudes [...] of columns [..., 2 (real, imaginary)]."""
    return torch.sqrt(columns[..., 0].square() + columns[..., 1].square())


def mel_weights(bins: int, rate: int) -> Tensor:
    """Weights [bins] of the magnitudes of a transform with `bins` bins up to `rate` / 2 (Hz).

    A bin counts by the share of the mel scale that it covers, m'(f), which is proportional to 1 / (700 + f):
    +6.5 dB at 100 Hz, 0 dB at 1 kHz, -16.8 dB at 11 kHz.
    """
    frequency = torch.linspace(0, rate / 2, bins)
    return (MEL_KNEE_HZ + MEL_UNIT_HZ) / (MEL_KNEE_HZ + frequency)


def scaled_levels(magnitude: Tensor, range_db: float, power: float) -> Tensor:
    """Levels of magnitudes, of the same shape: 0 for silence, 1 for magnitude 1, then to the `power`.

    `range_db` is how far under magnitude 1 silence lies. Levels are linear in decibels down to there.
    """
    floor = 10.0 ** (-range_db / 20.0)
    level = 1.0 + torch.log10(magnitude + floor) * (20.0 / range_db)
    return level.clamp(min=0.0).pow(power)


def binary_mask(voice: Tensor, music: Tensor) -> Tensor:
    """1.0 where the voice is louder than the music, else 0.0; of complex spectra, the same shape."""
    return (voice.abs() > music.abs()).to(voice.real.dtype)


class Levels(nn.Module):
    """Magnitudes to levels as the input of a net: mean 0 and deviation 1 in every bin, once fitted.

    `weighted` first, then `forward`; a net that scales by a maximum does so in between.
    """

    def __init__(self, bins: int, rate: int, power: float, mel_weighting: bool) -> None:
        super().__init__()
        self.power, self.range_db = power, RANGE_DB
        self.register_buffer("weights", mel_weights(bins, rate) if mel_weighting else torch.ones(bins))
        self.register_buffer("mean", torch.full((bins,), 0.4**power))
        self.register_buffer("scale", torch.full((bins,), 5.0))

    @torch.jit.export
    def weighted(self, magnitude: Tensor) -> Tensor:
        """Magnitudes [..., bins] with the weights of their bins."""
        return magnitude * self.weights

    def forward(self, weighted: Tensor) -> Tensor:
        """Levels of weighted magnitudes [..., bins], of the same shape."""
        return (scaled_levels(weighted, self.range_db, self.power) - self.mean) * self.scale

    def fit(self, weighted: Tensor) -> None:
        """Set mean and deviation from weighted magnitudes [..., bins] of training mixtures."""
        flat = scaled_levels(weighted, self.range_db, self.power).flatten(0, -2)
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(1 / flat.std(0).clamp_min(0.03))
