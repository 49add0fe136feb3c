"""Spleeter played live by the newest-frame trick: its nets process the last 12 s again for every hop.

Nets made for whole pieces return all frames of their window at once; only the newest frame is used. The delay
is then only that of the transform's window, but each hop costs a whole piece.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

from benchmarks.streams import Stream
from train.data.effects import Wave
from train.score.peers import SPLEETER_BINS, SPLEETER_FFT, SPLEETER_FRAMES, SPLEETER_HOP, Spleeter

# Sum of overlapping squares of Hann windows at a quarter of their length.
OVERLAP = 1.5


class NewestFrame(Stream):
    """Spleeter's two stems, hop by hop."""

    title = "Spleeter 2 stems, newest frame"
    hop = SPLEETER_HOP
    latency_samples = SPLEETER_FFT
    _recent: Wave  # [2, SPLEETER_FFT]
    _past: torch.Tensor  # [2, bins, frames] magnitudes, newest last
    _stems: NDArray[np.float32]  # [stems, 2, SPLEETER_FFT] overlap-add, oldest first

    def __init__(self, spleeter: Spleeter) -> None:
        self._spleeter = spleeter
        self.params, self.licence = spleeter.params, spleeter.licence
        self._window = np.hanning(SPLEETER_FFT + 1)[:-1].astype(np.float32)
        self.reset()

    def step(self, block: Wave) -> NDArray[np.float32]:
        """Process one hop; return the stems [2, 2, hop]."""
        self._recent = np.concatenate([self._recent[:, self.hop :], block], 1)
        spectrum = np.asarray(fft.rfft(self._recent * self._window))[:, :SPLEETER_BINS]
        self._past = torch.roll(self._past, -1, 2)
        self._past[:, :, -1] = torch.from_numpy(np.abs(spectrum))
        masks = self._spleeter.masks(self._past)[..., -1].numpy()  # [stems, 2, bins]
        self._stems += fft.irfft(masks * spectrum, SPLEETER_FFT) * self._window / OVERLAP
        done = self._stems[:, :, : self.hop].copy()
        self._stems = np.concatenate([self._stems[:, :, self.hop :], np.zeros_like(done)], 2)
        return done

    def reset(self) -> None:
        """Reset the state to silence."""
        self._recent = np.zeros((2, SPLEETER_FFT), np.float32)
        self._past = torch.zeros(2, SPLEETER_BINS, SPLEETER_FRAMES)
        self._stems = np.zeros((2, 2, SPLEETER_FFT), np.float32)
