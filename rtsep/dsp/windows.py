"""Window pairs for a low-delay STFT: long analysis for fine bins, short synthesis for low delay.

The construction is that of D. Mauler and R. Martin, "A low delay, variable resolution, perfect
reconstruction spectral analysis-synthesis system for speech enhancement", EUSIPCO 2007: the
product of both windows is a Hann window of the synthesis length, aligned with the *newest*
samples of the frame, so that overlap-add at any hop that divides half of it gives back the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import UsageError


@dataclass(frozen=True)
class Framing:
    """Sizes of one STFT, in samples. The defaults are the `live` profile (11.6 ms at 44.1 kHz)."""

    n_fft: int = 2048
    synthesis: int = 512
    hop: int = 256

    def __post_init__(self) -> None:
        if self.n_fft < 16 or self.n_fft & (self.n_fft - 1):
            raise UsageError(f"n_fft {self.n_fft}: must be a power of two of at least 16")
        if self.synthesis % 2 or not 4 <= self.synthesis <= self.n_fft:
            raise UsageError(f"synthesis {self.synthesis}: must be even, 4 to n_fft ({self.n_fft})")
        if self.hop < 1 or (self.synthesis // 2) % self.hop:
            raise UsageError(f"hop {self.hop}: must divide half the synthesis window ({self.synthesis // 2})")

    @property
    def bins(self) -> int:
        """Number of frequency bins of a column, DC and Nyquist included."""
        return self.n_fft // 2 + 1

    @property
    def block_size(self) -> int:
        """Samples consumed and produced a step."""
        return self.hop

    @property
    def latency(self) -> int:
        """Samples by which a step's output lags the input of the *same* step.

        A user hears `latency + hop` = `synthesis`: a hop must first be filled.
        """
        return self.synthesis - self.hop


PROFILES: dict[str, Framing] = {
    "stage": Framing(2048, 256, 128),
    "live": Framing(2048, 512, 256),
    "studio": Framing(4096, 2048, 512),
}


def _hann(length: int) -> NDArray[np.float64]:
    # Sampled at half steps: symmetric, and hann[n] + hann[n + length/2] == 1 exactly.
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * (np.arange(length) + 0.5) / length)


def window_pair(framing: Framing) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the analysis window [n_fft] and the synthesis window [synthesis] of `framing`.

    The synthesis window belongs to the newest `synthesis` samples of the inverse transform.
    The analysis window is scaled so that a full-scale sine on a bin's centre gives a magnitude
    of 1 in that bin (networks see levels, not window sums); the synthesis window undoes it.
    With n_fft == synthesis the pair is the square-root Hann window.
    """
    n_fft, half = framing.n_fft, framing.synthesis // 2
    rise = np.sqrt(_hann(2 * (n_fft - half)))[: n_fft - half]  # slow rise over the old samples
    product = _hann(framing.synthesis)  # what analysis * synthesis must be

    analysis = np.empty(n_fft)
    analysis[: n_fft - half] = rise
    analysis[n_fft - half :] = np.sqrt(product[half:])

    synthesis = np.empty(framing.synthesis)
    synthesis[:half] = product[:half] / rise[n_fft - 2 * half :]
    synthesis[half:] = np.sqrt(product[half:])

    level = 2.0 / analysis.sum()
    overlap = framing.synthesis / (2.0 * framing.hop)  # sum of the shifted Hann windows
    return analysis * level, synthesis / (level * overlap)
