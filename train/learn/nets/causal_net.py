"""The net of `causal`: one column in, one mask out; its state depends on the past alone.

    log powers of left, right, mid, side relative to the recent level, neighbouring bins pooled towards the
    top; the newest `taps` columns
      -> convolutions over frequency, each halving it: 44 bands, a vector of `dim` each
      -> `layers` x [gated linear recurrence over time, shared by the bands; MLP over the bands]
      -> convolutions back up, each joined by what the way down had at its resolution
      -> sigmoid masks of mid and side, spread over the pooled bins

The ends are a U-Net over frequency alone (O. Ronneberger et al., MICCAI 2015; upsampling by sub-pixels as
W. Shi et al., CVPR 2016); between them stand the recurrence along time and the mixing across bands of
Y. Luo and J. Yu, "Music source separation with band-split RNN", IEEE/ACM TASLP 2023, made causal and cut
down to a few million multiplications a hop. A harmonic looks like the one above it: convolutions learn it
once, where a matrix for each band learns it 44 times, which little music with known voices does not pay for.

Two things keep it cheap for a net that is called once a hop, when every operation and every weight is cold:
pooling (352 masks for 1024 bins cost an oracle 0.02 dB), and few weights: residual branches have no biases.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtsep.dsp.windows import PROFILES, Framing
from train.learn.nets.precision import bfloat16
from train.learn.nets.relative import FLOOR, LEVEL_FLOOR, kept_of, level_of_late
from train.learn.nets.scan import gated_scan
from train.learn.system import Net, System

FEATURES = 4  # log powers of left, right, mid, side
MASKS = 2  # mid, side
ENDS, DOWN, UP = 5, 4, 3
"""Kernels over frequency: of the first and last convolution, of those that halve, of those that double."""


@dataclass(frozen=True)
class CausalSizes(System):
    """Sizes of the net and its program, the features of a column, and the bins of a mask."""

    framing: Framing = PROFILES["light"]
    # (bins, bins pooled into one), from low to high; all but Nyquist, which follows its neighbour
    pool: tuple[tuple[int, int], ...] = ((192, 1), (192, 2), (128, 4), (512, 16))
    taps: int = 3  # columns of the first convolution: the newest and those before it
    channels_down: tuple[int, ...] = (16, 32, 48)  # before each halving; `dim` after the last
    dim: int = 64
    width: int = 96  # recurrent channels a band
    spread: int = 88  # of the MLP over the bands
    layers: int = 3
    lookahead: int = 0  # look-ahead in hops
    level_s: float = 2.0  # time constant of the level

    def __post_init__(self) -> None:
        covered = sum(bins for bins, _ in self.pool)
        if covered != self.framing.bins - 1 or any(bins % factor for bins, factor in self.pool):
            raise ValueError(
                f"the pool covers {covered} bins of {self.framing.bins - 1}, or not in whole parts"
            )
        if not self.channels_down or self.pooled % 2 ** len(self.channels_down):
            raise ValueError(f"{self.pooled} pooled bins cannot be halved {len(self.channels_down)} times")
        if self.taps < 1 or self.lookahead < 0:
            raise ValueError("taps must be at least 1, lookahead at least 0")

    @property
    def pooled(self) -> int:
        """Number of bins after pooling, and of a mask."""
        return sum(bins // factor for bins, factor in self.pool)

    @property
    def bands(self) -> int:
        """Pooled bins after all halvings: what recurs and mixes."""
        return self.pooled // 2 ** len(self.channels_down)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each resolution, from the pooled bins to the bands."""
        return (*self.channels_down, self.dim)

    @property
    def keep(self) -> float:
        """Share of the recent level that remains after a hop."""
        return kept_of(self.level_s, self.framing.hop, self.rate)

    @property
    def place(self) -> list[int]:
        """The pooled bin whose mask each bin of a column uses, Nyquist included."""
        places, first = [], 0
        for bins, factor in self.pool:
            places += [first + k // factor for k in range(bins)]
            first += bins // factor
        return [*places, places[-1]]

    def features(self, mix: Tensor) -> Tensor:
        """Log powers [T, B, 4, pooled] of mid/side columns [B, 2, T, bins] complex."""
        spectra = mix.permute(1, 2, 0, 3)  # [2, T, B, bins]
        mid, side = spectra[0], spectra[1]
        four = torch.view_as_real(torch.stack([mid + side, mid - side, mid, side], 2))  # [T, B, 4, bins, 2]
        powers = four[..., 0].square() + four[..., 1].square()
        powers = powers / (self.level(powers[..., :2, :].mean((2, 3))) + LEVEL_FLOOR)[..., None, None]
        parts, first = [], 0
        for bins, factor in self.pool:
            parts.append(powers[..., first : first + bins].unflatten(-1, (-1, factor)).mean(-1))
            first += bins
        return torch.log(torch.cat(parts, -1) + FLOOR)

    def level(self, power: Tensor) -> Tensor:
        """Return the recent mean of `power` [T, ...], to which the features are relative."""
        return level_of_late(power, self.keep)

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

    def __init__(self, system: CausalSizes) -> None:
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
        """Process whole sequences from a zero state."""
        h = h + self.back(gated_scan(self.gates(self.norm_time(h)).float()))
        flat = self.norm_bands(h).reshape(h.shape[0], -1)  # [K, T * B * D]: mixing is one matrix product
        mixed = torch.relu(torch.addmm(self.spread.bias[:, None], self.spread.weight, flat))
        return h + torch.mm(self.gather.weight, mixed).view_as(h)


class CausalNet(Net):
    """The net in its training form: whole sequences from a zero state."""

    mean: Tensor
    scale: Tensor

    def __init__(self, system: CausalSizes) -> None:
        super().__init__()
        self.system = system
        c, widths = system, system.widths
        self.first = nn.Conv1d(FEATURES * c.taps, widths[0], ENDS, padding="same")
        # Harmonics look alike at all frequencies but mean different things: a bias for each bin.
        self.first_place = nn.Parameter(torch.zeros(widths[0], c.pooled))
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(nn.Conv1d(a, b, DOWN, stride=2, padding=1) for a, b in pairs)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.dim)
        # The first one processes each band alone: the blocks have mixed them.
        self.up = nn.ModuleList(
            nn.Conv1d(b, 2 * a, UP if i else 1, padding="same") for i, (a, b) in enumerate(reversed(pairs))
        )
        self.last = nn.Conv1d(widths[0], MASKS, ENDS, padding="same")
        self.last_place = nn.Parameter(torch.zeros(MASKS, c.pooled))
        self.register_buffer("mean", torch.full((FEATURES, c.pooled), -5.0))
        self.register_buffer("scale", torch.full((FEATURES, c.pooled), 0.25))

    def fit_features(self, features: Tensor) -> None:
        """Set the normalisation from features [..., 4, pooled] of training mixtures."""
        flat = features.reshape(-1, *features.shape[-2:])
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(1 / flat.std(0).clamp_min(0.6))

    def forward(self, features: Tensor) -> Tensor:
        """Map features [T, B, 4, pooled] to mask logits [T, B, 2, pooled]."""
        c = self.system
        steps, batch = features.shape[:2]
        normal = (features - self.mean) * self.scale
        past = torch.cat([normal.new_zeros(c.taps - 1, *normal.shape[1:]), normal])
        seen = torch.cat([past[tap : tap + steps] for tap in range(c.taps)], 2)  # oldest column first
        with bfloat16(features.device, self.training):
            x = torch.relu(self.first(seen.flatten(0, 1)) + self.first_place)  # [T * B, C, pooled]
            skips = []
            for conv in self.down:
                skips.append(x)
                x = torch.relu(conv(x))
            h = x.float().view(steps, batch, c.dim, c.bands).permute(3, 0, 1, 2).contiguous()
            for block in self.blocks:
                h = block(h)
            x = self.norm(h).permute(1, 2, 3, 0).reshape(steps * batch, c.dim, c.bands)
            for conv, skip in zip(self.up, reversed(skips), strict=True):
                halves = conv(x).unflatten(1, (2, -1))  # of each bin: lower, upper
                x = torch.relu(halves.permute(0, 2, 3, 1).flatten(2) + skip)
            logits = self.last(x).float() + self.last_place
        return logits.view(steps, batch, MASKS, c.pooled)

    def masks(self, columns: Tensor) -> Tensor:
        """Masks [T, 2, bins] of one recording's columns [T, 2, bins, 2], as the contract words it."""
        spectra = torch.view_as_complex(columns.contiguous()).transpose(0, 1)[None]  # [1, 2, T, bins]
        masks = torch.sigmoid(self.system.unpool(self(self.system.features(spectra))[:, 0]))
        return torch.cat([masks, masks[..., -1:]], -1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates a hop, matrix products only."""
        c, widths = self.system, self.system.widths
        sizes = [c.pooled >> level for level in range(len(widths))]
        ends = sizes[0] * widths[0] * ENDS * (FEATURES * c.taps + MASKS)
        down = sum(
            size * DOWN * a * b for size, (a, b) in zip(sizes[1:], itertools.pairwise(widths), strict=True)
        )
        up = sum(
            size * (UP if size > c.bands else 1) * b * 2 * a
            for size, (a, b) in zip(sizes[1:], itertools.pairwise(widths), strict=True)
        )
        block = c.bands * c.dim * (4 * c.width + 2 * c.spread)
        return ends + down + up + c.layers * block
