"""The STFT of the runtime over whole excerpts in torch, with equal windows, scaling and alignment.

Frame t holds samples t * hop .. t * hop + n_fft of the excerpt. Its synthesis window covers the newest
`synthesis` samples, so the block that step t completes is samples
t * hop + n_fft - synthesis .. t * hop + n_fft - synthesis + hop.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rtsep.dsp.windows import Framing, window_pair


def windows(framing: Framing) -> tuple[Tensor, Tensor]:
    """Return the analysis [n_fft] and synthesis [synthesis] windows as float32 tensors."""
    analysis, synthesis = window_pair(framing)
    return torch.tensor(analysis, dtype=torch.float32), torch.tensor(synthesis, dtype=torch.float32)


def mid_side(wave: Tensor) -> Tensor:
    """Convert left and right [..., 2, n] to mid and side, halved as in the model contract."""
    left, right = wave[..., 0, :], wave[..., 1, :]
    return torch.stack([(left + right) * 0.5, (left - right) * 0.5], -2)


def left_right(wave: Tensor) -> Tensor:
    """Convert mid and side [..., 2, n] to left and right."""
    mid, side = wave[..., 0, :], wave[..., 1, :]
    return torch.stack([mid + side, mid - side], -2)


def frames_of(samples: int, framing: Framing) -> int:
    """Return the number of whole frames in an excerpt of `samples`."""
    return (samples - framing.n_fft) // framing.hop + 1


def analyse(wave: Tensor, framing: Framing, window: Tensor) -> Tensor:
    """Return the columns [..., T, bins] complex of `wave` [..., n]."""
    return torch.fft.rfft(wave.unfold(-1, framing.n_fft, framing.hop) * window, dim=-1)


def synthesise(columns: Tensor, framing: Framing, window: Tensor) -> Tensor:
    """Overlap-add [..., T, bins] to the blocks of all steps [..., T * hop].

    The first blocks lack older frames and fade in, as in a live session.
    """
    hop, overlap = framing.hop, -(-framing.synthesis // framing.hop)  # frames that overlap in a block
    frames = torch.fft.irfft(columns, framing.n_fft, dim=-1)
    newest = frames[..., framing.n_fft - framing.synthesis :] * window
    whole = torch.nn.functional.pad(newest, (0, overlap * hop - framing.synthesis))
    parts = whole.unflatten(-1, (overlap, hop))  # [..., T, overlap, hop]
    blocks = parts[..., 0, :].clone()
    for age in range(1, overlap):  # what the frame `age` steps ago adds to this block
        blocks[..., age:, :] += parts[..., :-age, age, :]
    return blocks.flatten(-2)


def played_columns(wave: Tensor, framing: Framing, window: Tensor) -> Tensor:
    """Return the columns [..., T, bins] of a whole recording as in a stream: silence before, one hop a step.

    Step t has just received hop t; `synthesise` of the result lags the input by `framing.stream_delay`.
    """
    steps = -(-(wave.shape[-1] + framing.stream_delay) // framing.hop)  # the last ones flush
    after = steps * framing.hop - wave.shape[-1]
    padded = torch.nn.functional.pad(wave, (framing.n_fft - framing.hop, after))
    return analyse(padded, framing, window)
