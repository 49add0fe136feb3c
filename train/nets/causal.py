"""rtsep's own net, `causal`: one column in, one mask out, nothing but the past in its state.

    log powers of left, right, mid, side, neighbouring bins pooled towards the top
      -> one matrix for each of 44 bands: a vector of `dim` a band
      -> `layers` x [gated linear recurrence over time, shared by the bands; MLP over the bands]
      -> one matrix a band -> sigmoid masks of mid and side, spread over the pooled bins

The split into bands, recurrence along time and mixing across bands is that of Y. Luo and J. Yu,
"Music source separation with band-split RNN", IEEE/ACM TASLP 2023, made causal and cut down to a few million
multiplications a hop.

Two things make it cheap enough for a net that is called once a hop, when every operation and every weight
is cold: pooling (352 masks for 1024 bins cost an oracle 0.02 dB) makes all bands equally large, so that each
end is one batched product of a quarter of the weights; and norms without weights of their own, residual
branches without biases leave few operations a layer.
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

FEATURES = 4  # log powers of left, right, mid, side
MASKS = 2  # mid, side
POWER_FLOOR = 1e-9
"""Added to powers before the logarithm: 90 dB below a full-scale sine."""


@dataclass(frozen=True)
class Causal(System):
    """The system `causal` and the sizes of its net."""

    family = "causal"

    framing: Framing = PROFILES["live"]
    # (bins, bins pooled into one), from low to high; all but Nyquist, which follows its neighbour
    pool: tuple[tuple[int, int], ...] = ((192, 1), (192, 2), (128, 4), (512, 16))
    band: int = 8  # pooled bins a band: 172 Hz at the bottom, 2.8 kHz at the top
    dim: int = 64
    width: int = 96  # recurrent channels a band
    spread: int = 88  # of the MLP over the bands
    layers: int = 4
    objective: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        covered = sum(bins for bins, _ in self.pool)
        if covered != self.framing.bins - 1 or any(bins % factor for bins, factor in self.pool):
            raise ValueError(
                f"the pool covers {covered} bins of {self.framing.bins - 1}, or not in whole parts"
            )
        if self.pooled % self.band:
            raise ValueError(f"{self.pooled} pooled bins do not make whole bands of {self.band}")

    @property
    def rates(self) -> tuple[int, ...]:
        """Both common rates: training moves pitch by more than they differ."""
        return (44100, 48000)

    @property
    def pooled(self) -> int:
        """Bins after pooling: what a mask has."""
        return sum(bins // factor for bins, factor in self.pool)

    @property
    def bands(self) -> int:
        """Number of bands."""
        return self.pooled // self.band

    @property
    def place(self) -> list[int]:
        """For each bin of a column, Nyquist included, the pooled bin whose mask it takes."""
        places, first = [], 0
        for bins, factor in self.pool:
            places += [first + k // factor for k in range(bins)]
            first += bins // factor
        return [*places, places[-1]]

    # ------------------------------------------------------------------ as a system
    def net(self) -> Net:
        """See `System`."""
        return CausalNet(self)

    def program(self, net: Net) -> CausalProgram:
        """See `System`."""
        from train.nets.causal_program import CausalProgram

        assert isinstance(net, CausalNet)
        return CausalProgram(net)

    def features(self, mix: Tensor) -> Tensor:
        """Log powers [T, B, pooled, 4] of mid/side columns [B, 2, T, bins] complex."""
        spectra = mix.permute(1, 2, 0, 3)  # [2, T, B, bins]
        mid, side = spectra[0], spectra[1]
        four = torch.view_as_real(torch.stack([mid + side, mid - side, mid, side], -1))  # [T, B, bins, 4, 2]
        powers = four[..., 0].square() + four[..., 1].square()
        parts, first = [], 0
        for bins, factor in self.pool:
            parts.append(powers[..., first : first + bins, :].unflatten(-2, (-1, factor)).mean(-2))
            first += bins
        return torch.log(torch.cat(parts, -2) + POWER_FLOOR)

    def normalise(self, net: Net, waves: Tensor) -> None:
        """Normalise the features."""
        assert isinstance(net, CausalNet)
        net.fit_features(self.features(self.spectra(waves[:, 1])))

    def loss(self, net: Callable[..., Any], waves: Tensor) -> Tensor:
        """See `train.loss`."""
        analysis, synthesis = (window.to(waves.device) for window in windows(self.framing))
        target = target_of(mid_side(waves), self.framing, analysis, self.objective)
        with torch.no_grad():
            features = self.features(target.mix)
        logits = self.unpool(net(features))
        return masked_loss(logits, target, self.framing, synthesis, self.objective)[0]

    def unpool(self, masks: Tensor) -> Tensor:
        """Spread [..., pooled] over all bins but Nyquist: [..., bins - 1]."""
        parts, first = [], 0
        for bins, factor in self.pool:
            part = masks[..., first : first + bins // factor]
            parts.append(part.unsqueeze(-1).expand(*part.shape, factor).flatten(-2))
            first += bins // factor
        return torch.cat(parts, -1)


class Block(nn.Module):
    """One recurrence over time and one mixing of bands, both residual. [K, T, B, D] -> the same."""

    def __init__(self, system: Causal) -> None:
        super().__init__()
        dim, width, bands = system.dim, system.width, system.bands
        self.norm_time = nn.LayerNorm(dim)
        self.gates = nn.Linear(dim, 3 * width)
        self.back = nn.Linear(width, dim, bias=False)
        # Shared by all bands: its weights could not be folded into those of the mixing.
        self.norm_bands = nn.LayerNorm(dim, elementwise_affine=False)
        self.spread = nn.Linear(bands, system.spread)
        self.gather = nn.Linear(system.spread, bands, bias=False)
        with torch.no_grad():
            # Memories from under two hops to two seconds: sigmoid(6) forgets 1/400 a hop.
            self.gates.bias[:width] = torch.linspace(-0.5, 6.0, width)[torch.randperm(width)]
            self.back.weight.mul_(0.5)
            self.gather.weight.mul_(0.5)

    def forward(self, h: Tensor) -> Tensor:
        """Whole sequences from a zero state."""
        h = h + self.back(gated_scan(self.gates(self.norm_time(h))))
        flat = self.norm_bands(h).reshape(h.shape[0], -1)  # [K, T * B * D]: mixing is one matrix product
        mixed = torch.relu(torch.addmm(self.spread.bias[:, None], self.spread.weight, flat))
        return h + torch.mm(self.gather.weight, mixed).view_as(h)


class CausalNet(Net):
    """The net in its training form: whole sequences from a zero state."""

    mean: Tensor
    scale: Tensor

    def __init__(self, system: Causal = Causal()) -> None:
        super().__init__()
        self.system = system
        c, seen = system, system.band * FEATURES
        self.encoder = nn.Parameter(torch.randn(c.bands, seen, c.dim) / math.sqrt(seen))
        self.encoder_bias = nn.Parameter(torch.randn(c.bands, 1, c.dim) * 0.1)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.dim)
        self.decoder = nn.Parameter(torch.randn(c.bands, c.dim, MASKS * c.band) * 0.3 / math.sqrt(c.dim))
        self.decoder_bias = nn.Parameter(torch.zeros(c.bands, 1, MASKS * c.band))
        self.register_buffer("mean", torch.full((c.pooled, FEATURES), -12.0))
        self.register_buffer("scale", torch.full((c.pooled, FEATURES), 0.25))

    def fit_features(self, features: Tensor) -> None:
        """Set the normalisation from features [..., pooled, 4] of training mixtures."""
        flat = features.reshape(-1, *features.shape[-2:])
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(1 / flat.std(0).clamp_min(0.6))

    def forward(self, features: Tensor) -> Tensor:
        """Map features [T, B, pooled, 4] to mask logits [T, B, 2, pooled]."""
        c = self.system
        steps, batch = features.shape[:2]
        normal = (features - self.mean) * self.scale
        of_band = normal.view(steps * batch, c.bands, c.band * FEATURES).transpose(0, 1)
        h = torch.baddbmm(self.encoder_bias, of_band, self.encoder).view(c.bands, steps, batch, c.dim)
        for block in self.blocks:
            h = block(h)
        h = self.norm(h).view(c.bands, steps * batch, c.dim)
        logits = torch.baddbmm(self.decoder_bias, h, self.decoder)  # [K, T * B, 2 * band]
        logits = logits.view(c.bands, steps, batch, MASKS, c.band).permute(1, 2, 3, 0, 4)
        return logits.reshape(steps, batch, MASKS, c.pooled)

    def masks(self, columns: Tensor) -> Tensor:
        """Masks [T, 2, bins] of one recording's columns [T, 2, bins, 2], as the contract words it."""
        spectra = torch.view_as_complex(columns.contiguous()).transpose(0, 1)[None]  # [1, 2, T, bins]
        masks = torch.sigmoid(self.system.unpool(self(self.system.features(spectra))[:, 0]))
        return torch.cat([masks, masks[..., -1:]], -1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates a hop, matrix products only."""
        c = self.system
        block = c.bands * c.dim * (4 * c.width + 2 * c.spread)
        return c.pooled * c.dim * (FEATURES + MASKS) + c.layers * block
