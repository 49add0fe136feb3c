"""The training loss and its gradient with respect to the mask logits, in a few passes over the spectra.

Two terms, for masks m of mid and side and columns X (mix), V (voice), A = X - V (music):

1. Compressed magnitudes: mean of | |mX|^.5 - |V|^.5 | + | |(1-m)X|^.5 - |A|^.5 |, relative to the mean of
   |X|^.5 of the sample, so that level does not matter. With real masks |mX| = m|X|.
2. Error of the played signal: e = overlap-add of (mX - V) with the asymmetric windows is the error of the
   voice and, negated, of the music. A segment of half a second pays

       w 10 log10((E_e + floor E_x + tiny) / (E_x + tiny))    E: energies of e and of the mix

   `floor` bounds what an easy segment can earn (without it a log loss spends the net on silence), and
   w, which grows with the square root of E_x and averages 1, leaves little to quiet passages.

`masked_loss` runs this with hand-written gradients; `masked_loss_reference` is its plain twin for autograd.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from rtsep.dsp.windows import Framing
from train.learn.stft import analyse, synthesise

Array = NDArray[np.float32]
TINY = 1e-2
"""Energy under which a segment counts as silent: 20,000 samples at -63 dB."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss."""

    magnitude: float = 12.0  # of term 1; term 2 is in decibels
    floor: float = 0.003  # -25 dB: no gain below this level, relative to the mix
    segment_hops: int = 86  # half a second


@dataclass(frozen=True)
class Target:
    """The targets of the loss. Spectra are complex, waveforms and spectra are mid/side."""

    mix: Tensor  # [B, 2, T, bins + 1]
    voice: Tensor  # the same
    energy: Tensor  # [B, segments] of the mix
    weight: Tensor  # [B, segments], mean 1
    scale: Tensor  # [B]: 1 / mean |mix|^.5


def target_of(waves: Tensor, framing: Framing, window: Tensor, config: LossConfig) -> Target:
    """Analyse mid/side waveforms [B, 2 (voice, mix), 2, n]."""
    columns = analyse(waves, framing, window)
    segments = (columns.shape[-2] - 1) // config.segment_hops
    # The blocks of steps 1, 2, ...: step 0 has no older frame to overlap with.
    first = framing.n_fft - framing.synthesis + framing.hop
    played = waves[:, 1, :, first : first + segments * config.segment_hops * framing.hop]
    energy = played.unflatten(-1, (segments, -1)).square().sum((1, 3))
    root = torch.sqrt(energy + TINY)
    level = torch.sqrt(columns[:, 1].abs()).mean((1, 2, 3))
    return Target(columns[:, 1], columns[:, 0], energy, root / root.mean(), 1 / level.clamp_min(1e-4))


@numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _magnitude_pass(mask: Array, mix: Array, voice: Array, error: Array, grad: Array, sums: Array) -> None:
    # mask, grad [T, B, 2, F]; mix, voice, error [B, 2, T, F + 1, 2]; sums [B]
    # error = m X - V; grad = d(term 1, unscaled) / d(logit); a square root of m is smooth in the logit
    steps, batch, channels, bins = mask.shape
    half = np.float32(0.5)
    for b in range(batch):
        total = 0.0
        for t in range(steps):
            for c in range(channels):
                m, g = mask[t, b, c], grad[t, b, c]
                x, v, e = mix[b, c, t], voice[b, c, t], error[b, c, t]
                row = np.float32(0)
                for f in range(bins):
                    xr, xi, vr, vi = x[f, 0], x[f, 1], v[f, 0], v[f, 1]
                    e[f, 0] = m[f] * xr - vr
                    e[f, 1] = m[f] * xi - vi
                    ar, ai = xr - vr, xi - vi
                    root = np.sqrt(np.sqrt(xr * xr + xi * xi))
                    keep, drop = np.sqrt(m[f]), np.sqrt(1 - m[f])
                    dv = root * keep - np.sqrt(np.sqrt(vr * vr + vi * vi))
                    da = root * drop - np.sqrt(np.sqrt(ar * ar + ai * ai))
                    row += abs(dv) + abs(da)
                    up = half * root * keep * (1 - m[f])
                    down = half * root * drop * m[f]
                    g[f] = (up if dv > 0 else -up) - (down if da > 0 else -down)
                e[bins, 0] = m[bins - 1] * x[bins, 0] - v[bins, 0]  # Nyquist: its neighbour's mask
                e[bins, 1] = m[bins - 1] * x[bins, 1] - v[bins, 1]
                total += float(row)
        sums[b] = total


@numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)
def _wave_pass(mask: Array, mix: Array, back: Array, weights: Array, n_fft: int, grad: Array) -> None:
    # grad = weights[b] * grad + d(term 2) / d(logit); back: transform of the gradient of the newest samples
    steps, batch, channels, bins = mask.shape
    for b in range(batch):
        for t in range(steps):
            for c in range(channels):
                m, g, x, y = mask[t, b, c], grad[t, b, c], mix[b, c, t], back[b, c, t]
                twice = np.float32(2.0 / n_fft)  # bins other than DC and Nyquist count twice
                for f in range(bins):
                    slope = m[f] * (1 - m[f])
                    g[f] = weights[b] * g[f] + twice * slope * (x[f, 0] * y[f, 0] + x[f, 1] * y[f, 1])
                g[0] -= np.float32(0.5) * twice * m[0] * (1 - m[0]) * (x[0, 0] * y[0, 0] + x[0, 1] * y[0, 1])
                last = m[bins - 1] * (1 - m[bins - 1])
                g[bins - 1] += np.float32(0.5) * twice * last * x[bins, 0] * y[bins, 0]


class _MaskedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Target, framing: Framing, window: Tensor, config: LossConfig
    ) -> tuple[Tensor, Tensor]:
        steps, batch, channels, bins = logits.shape
        mask = torch.sigmoid(logits).contiguous()
        mix = torch.view_as_real(target.mix.contiguous()).numpy()
        voice = torch.view_as_real(target.voice.contiguous()).numpy()
        error = torch.empty_like(target.mix, memory_format=torch.contiguous_format)
        grad, sums = torch.empty_like(mask), torch.empty(batch)
        _magnitude_pass(
            mask.numpy(), mix, voice, torch.view_as_real(error).numpy(), grad.numpy(), sums.numpy()
        )  # fmt: skip
        count = batch * channels * steps * bins
        magnitude = (sums * target.scale).sum() / count

        hop, overlap = framing.hop, framing.synthesis // framing.hop
        decibel_term, slope = _wave_loss(synthesise(error, framing, window), target, framing, config)
        # Adjoint of the overlap-add: block t is windowed into frames t, t - 1, ...
        blocks = slope.unflatten(-1, (steps, hop))
        newest = torch.zeros(batch, channels, steps, overlap, hop)
        newest[..., 0, :] = blocks
        for age in range(1, overlap):
            newest[:, :, :-age, age] = blocks[:, :, age:]
        padded = torch.zeros(batch, channels, steps, framing.n_fft)
        padded[..., framing.n_fft - framing.synthesis :] = newest.flatten(-2) * window
        back = torch.view_as_real(torch.fft.rfft(padded)).numpy()
        weights = target.scale * (config.magnitude / count)
        _wave_pass(mask.numpy(), mix, back, weights.numpy(), framing.n_fft, grad.numpy())
        ctx.save_for_backward(grad)
        return decibel_term + config.magnitude * magnitude, decibel_term

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = ctx.saved_tensors
        return grad * grads[0], None, None, None, None


def _wave_loss(error: Tensor, target: Target, framing: Framing, config: LossConfig) -> tuple[Tensor, Tensor]:
    """Term 2 of blocks [B, 2, T * hop] and its gradient, of the same shape."""
    batch, segments = target.energy.shape
    span = slice(framing.hop, framing.hop * (1 + segments * config.segment_hops))
    parts = error[..., span].unflatten(-1, (segments, -1))  # [B, 2, segments, samples]
    wrong = parts.square().sum((1, 3)) + config.floor * target.energy + TINY
    loss = (target.weight * 10 * torch.log10(wrong / (target.energy + TINY))).mean()
    slope = torch.zeros_like(error)
    factor = target.weight * (20 / math.log(10) / (batch * segments)) / wrong
    slope[..., span] = (parts * factor[:, None, :, None]).flatten(-2)
    return loss, slope


def masked_loss(
    logits: Tensor, target: Target, framing: Framing, synthesis: Tensor, config: LossConfig
) -> tuple[Tensor, Tensor]:
    """Return the loss of mask logits and, for the log, its decibel term (no gradient).

    `logits` are [T, B, 2, framing.bins - 1]: the Nyquist bin gets the mask of the bin below. Raise
    `ValueError` for another shape. Compiled on the CPU; on other devices the plain twin, whose operations
    are large enough for them.
    """
    batch, channels, steps, bins = target.mix.shape
    wanted = (steps, batch, channels, bins - 1)  # the compiled code checks no bounds
    if logits.shape != wanted:
        raise ValueError(f"mask logits have shape {list(logits.shape)}, expected {list(wanted)}")
    if logits.device.type != "cpu":
        total, decibel_term = masked_loss_reference(logits, target, framing, synthesis, config)
        return total, decibel_term.detach()
    total, decibel_term = _MaskedLoss.apply(logits, target, framing, synthesis, config)
    return total, decibel_term.detach()


def masked_loss_reference(
    logits: Tensor, target: Target, framing: Framing, synthesis: Tensor, config: LossConfig
) -> tuple[Tensor, Tensor]:
    """The plain twin of `masked_loss`."""
    x = logits.permute(1, 2, 0, 3)  # [B, 2, T, bins]
    mask = torch.sigmoid(x)
    # Square roots of mask and 1 - mask by their logarithms: at 0 a root has no finite slope.
    keep, drop = (torch.exp(0.5 * logsigmoid(side)) for side in (x, -x))
    mix, voice = target.mix[..., :-1], target.voice[..., :-1]
    root = mix.abs().sqrt()
    of_voice = (root * keep - voice.abs().sqrt()).abs()
    of_music = (root * drop - (mix - voice).abs().sqrt()).abs()
    magnitude = ((of_voice + of_music).mean((1, 2, 3)) * target.scale).mean()
    full = torch.cat([mask, mask[..., -1:]], -1)
    error = synthesise(full * target.mix - target.voice, framing, synthesis)
    decibel_term, _ = _wave_loss(error, target, framing, config)
    return decibel_term + config.magnitude * magnitude, decibel_term
