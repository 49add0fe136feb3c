"""Spectra of whole recordings for the classic methods, and the application of their masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from train.data.cache import RATE
from train.data.effects import Wave

LOWEST_HZ = 100.0
"""Lowest frequency of a voice in Hz: below it, both papers leave everything to the music."""

Magnitudes = NDArray[np.float32]
"""Magnitudes [bins, frames]."""


class Spectra:
    """STFT with Hann windows of `size` samples every `hop`, at RATE: spectra are [2, bins, frames]."""

    def __init__(self, size: int, hop: int) -> None:
        self._stft = ShortTimeFFT(hann(size, sym=False), hop, RATE)
        self.voiced = self._stft.f >= LOWEST_HZ  # [bins]

    def of(self, wave: Wave) -> NDArray[np.complexfloating]:
        """Return the spectra of `wave` [2, n]."""
        return np.asarray(self._stft.stft(wave))

    def masked(self, spectra: NDArray[np.complexfloating], masks: NDArray[np.floating], frames: int) -> Wave:
        """Return the audio [2, frames] of spectra under masks of the same shape."""
        return np.ascontiguousarray(self._stft.istft(spectra * masks, k1=frames), np.float32)


def share(of: NDArray[np.floating], whole: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return `of` / `whole`, 0 where `whole` is 0."""
    return np.divide(of, whole, out=np.zeros_like(of), where=whole > 0)
