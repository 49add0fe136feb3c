"""Streaming STFT and inverse: one hop in, one column out; one masked column in, one hop out.

Block size `hop`, stream delay `synthesis - hop` samples (plus the look-ahead, kept by the caller). Tests
compare it with a plain numpy loop over whole signals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.dsp.fft import FftPlan, irfft, plan_fft, rfft
from rtsep.dsp.shift import copy_row, push, shift_left
from rtsep.dsp.windows import Framing, window_pair


class Stft(NamedTuple):
    """State of one stream: past input (`history`) and unfinished output (`overlap`)."""

    analysis: NDArray[np.float32]  # [n_fft]
    synthesis: NDArray[np.float32]  # [synthesis]
    history: NDArray[np.float32]  # [channels, n_fft], newest sample last
    overlap: NDArray[np.float32]  # [channels, synthesis]
    frame: NDArray[np.float32]  # [n_fft] work space
    plan: FftPlan


def make_stft(framing: Framing, channels: int) -> Stft:
    """Return a new state for `channels` channels."""
    analysis, synthesis = window_pair(framing)
    return Stft(
        analysis=analysis.astype(np.float32),
        synthesis=synthesis.astype(np.float32),
        history=np.zeros((channels, framing.n_fft), np.float32),
        overlap=np.zeros((channels, framing.synthesis), np.float32),
        frame=np.zeros(framing.n_fft, np.float32),
        plan=plan_fft(framing.n_fft),
    )


@njit(cache=True, nogil=True)
def analyse(stft: Stft, hop: np.ndarray, spectra: np.ndarray) -> None:
    """Read `hop` [channels, hop]; write the spectra [channels, bins, 2] of the newest n_fft samples."""
    n_fft = stft.analysis.size
    push(stft.history, hop)
    for c in range(hop.shape[0]):
        history = stft.history[c]
        for i in range(n_fft):
            stft.frame[i] = history[i] * stft.analysis[i]
        rfft(stft.frame, stft.plan, spectra[c])


@njit(cache=True, nogil=True)
def synthesise(stft: Stft, spectra: np.ndarray, hop: np.ndarray) -> None:
    """Add the inverse of `spectra` [channels, bins, 2] to the overlap; write the finished `hop`."""
    n_fft, length = stft.analysis.size, stft.synthesis.size
    size = hop.shape[1]
    for c in range(hop.shape[0]):
        irfft(spectra[c], stft.plan, stft.frame)
        overlap = stft.overlap[c]
        for i in range(length):
            overlap[i] += stft.frame[n_fft - length + i] * stft.synthesis[i]
        copy_row(overlap[:size], hop[c])
        shift_left(overlap, size)
        overlap[length - size :] = 0
