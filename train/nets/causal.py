"""rtsep's own net, `causal`: one column in, one mask out, nothing but the past in its state.

    log magnitudes of left, right, mid, side (the newest two columns)
      -> grouped convolution over frequency: one vector of `dim` for each of 40 bands
      -> `layers` x [gated linear recurrence over time, shared by the bands; MLP over the bands]
      -> per-band decoder -> sigmoid masks of mid and side

The split into bands, recurrence along time and mixing across bands is that of Y. Luo and J. Yu,
"Music source separation with band-split RNN", IEEE/ACM TASLP 2023, made causal and cut down to a few million
multiplications a hop. Bins above the last band's end (Nyquist) take the mask of their neighbour.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rtsep.dsp.windows import PROFILES, Framing
from train.loss import LossConfig, masked_loss, target_of
from train.nets.scan import gated_scan
from train.stft import mid_side, windows
from train.system import Net, System

if TYPE_CHECKING:
    from train.nets.causal_program import CausalProgram

FEATURES = 4  # log magnitudes of left, right, mid, side
MASKS = 2  # mid, side
POWER_FLOOR = 1e-9
"""Added to powers before the logarithm: 90 dB below a full-scale sine."""


@dataclass(frozen=True)
class Causal(System):
    """The system `causal` and the sizes of its net."""

    family = "causal"

    framing: Framing = PROFILES["live"]
    # (how many bands, bins a band), from low to high: 86 Hz wide at the bottom, 3.4 kHz at the top
    groups: tuple[tuple[int, int], ...] = ((8, 4), (12, 8), (8, 16), (6, 32), (4, 64), (2, 160))
    columns: int = 2  # the encoder sees the newest ones
    dim: int = 64
    width: int = 96  # recurrent channels a band
    layers: int = 3
    objective: LossConfig = field(default_factory=LossConfig)

    @property
    def rates(self) -> tuple[int, ...]:
        """Both common rates: training moves pitch by more than they differ."""
        return (44100, 48000)

    @property
    def bands(self) -> int:
        """Number of bands."""
        return sum(count for count, _ in self.groups)

    @property
    def bins(self) -> int:
        """Bins the net computes; a column has one more, Nyquist."""
        return sum(count * size for count, size in self.groups)

    def __post_init__(self) -> None:
        if self.bins != self.framing.bins - 1:
            raise ValueError(f"bands cover {self.bins} bins of {self.framing.bins - 1}")

    def net(self) -> Net:
        """See `System`."""
        return CausalNet(self)

    def program(self, net: Net) -> CausalProgram:
        """See `System`."""
        from train.nets.causal_program import CausalProgram

        assert isinstance(net, CausalNet)
        return CausalProgram(net)

    def _features(self, mix: Tensor) -> Tensor:
        # [B, 2, T, bins + 1] complex to [T, B, bins, 4]
        return log_magnitudes(mix.permute(1, 2, 0, 3)[..., : self.bins])

    def normalise(self, net: Net, waves: Tensor) -> None:
        """Normalise the features."""
        assert isinstance(net, CausalNet)
        net.fit_features(self._features(self.spectra(waves[:, 1])))

    def loss(self, net: Callable[..., Any], waves: Tensor) -> Tensor:
        """See `train.loss`."""
        analysis, synthesis = (window.to(waves.device) for window in windows(self.framing))
        target = target_of(mid_side(waves), self.framing, analysis, self.objective)
        with torch.no_grad():
            features = self._features(target.mix)
        loss, _ = masked_loss(net(features), target, self.framing, synthesis, self.objective)
        return loss


def log_magnitudes(column: Tensor) -> Tensor:
    """Features [..., bins, 4] of mid/side spectra [2, ..., bins] complex: log |L|, |R|, |M|, |S|."""
    mid, side = column[0], column[1]
    four = torch.view_as_real(torch.stack([mid + side, mid - side, mid, side], -1))  # [..., bins, 4, 2]
    return 0.5 * torch.log(four[..., 0].square() + four[..., 1].square() + POWER_FLOOR)


class Block(nn.Module):
    """One recurrence over time and one mixing of bands, both residual. [K, T, B, D] -> the same."""

    def __init__(self, config: Causal) -> None:
        super().__init__()
        dim, width, bands = config.dim, config.width, config.bands
        self.norm_time = nn.LayerNorm(dim)
        self.gates = nn.Linear(dim, 3 * width)
        self.back = nn.Linear(width, dim)
        self.norm_bands = nn.LayerNorm(dim)
        self.spread = nn.Linear(bands, 2 * bands)
        self.gather = nn.Linear(2 * bands, bands)
        with torch.no_grad():
            # Memories from under two hops to two seconds: sigmoid(6) forgets 1/400 a hop.
            self.gates.bias[:width] = torch.linspace(-0.5, 6.0, width)[torch.randperm(width)]
            self.back.weight.mul_(0.5)
            self.gather.weight.mul_(0.5)
            self.gather.bias.zero_()

    def forward(self, h: Tensor) -> Tensor:
        """Whole sequences from a zero state."""
        h = h + self.back(gated_scan(self.gates(self.norm_time(h))))
        flat = self.norm_bands(h).reshape(h.shape[0], -1)  # [K, T * B * D]: mixing is one matrix product
        mixed = torch.relu(torch.addmm(self.spread.bias[:, None], self.spread.weight, flat))
        mixed = torch.addmm(self.gather.bias[:, None], self.gather.weight, mixed)
        return h + mixed.view_as(h)


class CausalNet(Net):
    """The net in its training form: whole sequences from a zero state."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: Causal = Causal()) -> None:
        super().__init__()
        self.config = config
        taps = FEATURES * config.columns
        # [count, columns, bins a band * features, dim]: a convolution whose kernel is its own for each band
        self.encoder = nn.ParameterList(
            nn.Parameter(
                torch.randn(count, config.columns, size * FEATURES, config.dim) / math.sqrt(size * taps)
            )
            for count, size in config.groups
        )
        self.encoder_bias = nn.Parameter(torch.randn(config.bands, config.dim) * 0.1)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.decoder = nn.ParameterList(
            nn.Parameter(torch.randn(count, config.dim, MASKS * size) * 0.3 / math.sqrt(config.dim))
            for count, size in config.groups
        )
        self.decoder_bias = nn.Parameter(torch.zeros(MASKS, config.bins))
        self.register_buffer("mean", torch.full((config.bins, FEATURES), -6.0))
        self.register_buffer("scale", torch.full((config.bins, FEATURES), 0.5))

    def fit_features(self, features: Tensor) -> None:
        """Set the normalisation from features [..., bins, 4] of training mixtures."""
        flat = features.reshape(-1, *features.shape[-2:])
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(1 / flat.std(0).clamp_min(0.3))

    def forward(self, features: Tensor) -> Tensor:
        """Map features [T, B, bins, 4] to mask logits [T, B, 2, bins]."""
        c = self.config
        steps, batch = features.shape[:2]
        rows = steps * batch
        normal = (features - self.mean) * self.scale
        # Columns before the first are zeros *after* normalisation, as in a zero state.
        past = (0, 0, 0, 0, c.columns - 1, 0)
        padded = torch.nn.functional.pad(normal.flatten(2), past)  # [T + past, B, bins * 4]
        bands, first = [], 0
        for (count, size), weight in zip(c.groups, self.encoder, strict=True):
            span = size * FEATURES
            group = padded[..., first : first + count * span].reshape(-1, count, span).transpose(0, 1)
            taps = [group[:, age * batch : age * batch + rows] for age in range(c.columns)]
            total = torch.bmm(taps[0], weight[:, 0])
            for age in range(1, c.columns):
                total = torch.baddbmm(total, taps[age], weight[:, age])
            bands.append(total)
            first += count * span
        h = (torch.cat(bands) + self.encoder_bias[:, None]).view(c.bands, steps, batch, c.dim)
        for block in self.blocks:
            h = block(h)
        h = self.norm(h).view(c.bands, rows, c.dim)
        logits, band = [], 0
        for (count, size), weight in zip(c.groups, self.decoder, strict=True):
            out = torch.bmm(h[band : band + count], weight).view(count, rows, MASKS, size)
            logits.append(out.permute(1, 2, 0, 3).reshape(rows, MASKS, count * size))
            band += count
        return (torch.cat(logits, -1) + self.decoder_bias).view(steps, batch, MASKS, c.bins)

    def masks(self, columns: Tensor) -> Tensor:
        """Masks [T, 2, bins + 1] of one recording's columns [T, 2, bins + 1, 2], as the contract words it."""
        spectra = torch.view_as_complex(columns[..., : self.config.bins, :].contiguous())  # [T, 2, bins]
        masks = torch.sigmoid(self(log_magnitudes(spectra.transpose(0, 1))[:, None])[:, 0])
        return torch.cat([masks, masks[..., -1:]], -1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates a hop, matrix products only."""
        c = self.config
        block = c.bands * c.dim * 4 * c.width + 2 * c.bands * 2 * c.bands * c.dim
        ends = c.bins * c.dim * (FEATURES * c.columns + MASKS)
        return ends + c.layers * block
