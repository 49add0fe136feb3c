"""Window pairs for a low-delay STFT: long analysis for fine bins, short synthesis for low delay.

The construction is by D. Mauler and R. Martin, "A low delay, variable resolution, perfect reconstruction
spectral analysis-synthesis system for speech enhancement", EUSIPCO 2007: the product of both windows is a
Hann window of the synthesis length, aligned with the *newest* samples of the frame, so that overlap-add at
any hop that divides half of it restores the input.

Systems designed for offline use have hops longer than half a window, for which no pair of Hann windows adds
up. They get the usual Hann window and its least-squares dual w / sum of shifted w^2: D. Griffin and J. Lim,
"Signal estimation from modified short-time Fourier transform", IEEE Transactions on Acoustics, Speech, and
Signal Processing 32 (2), 1984, equation 6.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import UsageError

LARGEST_DUAL = 10.0
"""Maximum of a dual window above full scale: with a longer hop, windows overlap at lower values, and the dual
amplifies the effect of a mask there more."""


@dataclass(frozen=True)
class Framing:
    """Sizes of one STFT, in samples. The defaults are the `light` profile (11.6 ms at 44.1 kHz)."""

    n_fft: int = 2048
    synthesis: int = 512
    hop: int = 256

    def __post_init__(self) -> None:
        if self.n_fft < 16 or self.n_fft & (self.n_fft - 1):
            raise UsageError(f"n_fft {self.n_fft}: must be a power of two of at least 16")
        if self.synthesis % 2 or not 4 <= self.synthesis <= self.n_fft:
            raise UsageError(f"synthesis {self.synthesis}: must be even, 4 to n_fft ({self.n_fft})")
        if self.hops_far:
            if self.hop > (longest := _longest_hop(self.n_fft)):
                raise UsageError(
                    f"hop {self.hop}: windows of {self.n_fft} overlap too little to be inverted; "
                    f"{longest} is the longest hop"
                )
        elif self.hop < 1 or (self.synthesis // 2) % self.hop:
            beyond = ", or be longer than that" if self.synthesis == self.n_fft else ""
            raise UsageError(
                f"hop {self.hop}: must divide half the synthesis window ({self.synthesis // 2}){beyond}"
            )

    @property
    def hops_far(self) -> bool:
        """Return whether a hop is longer than half of a symmetric window: a Hann window and its dual."""
        return self.synthesis == self.n_fft and self.hop > self.synthesis // 2

    @property
    def bins(self) -> int:
        """Return the number of frequency bins of a column, including DC and Nyquist."""
        return self.n_fft // 2 + 1

    @property
    def block_size(self) -> int:
        """Return the samples consumed and produced per step."""
        return self.hop

    @property
    def stream_delay(self) -> int:
        """Return the lag in samples of a step's output behind the input of the *same* step.

        The algorithmic latency is `stream_delay + hop` = `synthesis`, as a hop must first be filled.
        """
        return self.synthesis - self.hop


PROFILES: dict[str, Framing] = {
    "stage": Framing(2048, 256, 128),
    "live": Framing(4096, 512, 256),
    "light": Framing(2048, 512, 256),
    "studio": Framing(4096, 1024, 512),
    "wide": Framing(4096, 2048, 512),
}


def _hann(length: int) -> NDArray[np.float64]:
    # Sampled at half steps: symmetric, and hann[n] + hann[n + length/2] == 1 exactly.
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * (np.arange(length) + 0.5) / length)


def _toolbox_hann(length: int) -> NDArray[np.float64]:
    # Sampled at whole steps, its first sample 0: `scipy.signal.get_window("hann", length)`.
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)


def _dual(length: int, hop: int) -> NDArray[np.float64]:
    """Return the least-squares dual [length] of the usual Hann window at `hop`.

    Bounded at both ends: a sample at the very edge of one window is well within the next one, as long as they
    overlap at all.
    """
    window = _toolbox_hann(length)
    rows = np.pad(np.square(window), (0, -length % hop)).reshape(-1, hop)
    power = np.resize(rows.sum(axis=0), length)  # power of all windows at each sample; repeats every hop
    return window / power


@cache
def _longest_hop(length: int) -> int:
    """Return the longest hop with a dual within LARGEST_DUAL; the dual rises with the hop."""
    hops = range(length // 2 + 1, length)
    return length // 2 + bisect_right(hops, LARGEST_DUAL, key=lambda hop: float(_dual(length, hop).max()))


def window_pair(framing: Framing) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the analysis window [n_fft] and the synthesis window [synthesis] of `framing`.

    The synthesis window applies to the newest `synthesis` samples of the inverse transform. The analysis
    window is scaled so that a full-scale sine at a bin's centre has a magnitude of 1 in that bin (networks
    get levels, not window sums); the synthesis window reverses this. With n_fft == synthesis the pair is the
    square-root Hann window, or, if a hop is longer than half of it, a Hann window and its least-squares dual.
    """
    if framing.hops_far:
        window = _toolbox_hann(framing.n_fft)
        scale = 2.0 / window.sum()
        return window * scale, _dual(framing.n_fft, framing.hop) / scale
    n_fft, half = framing.n_fft, framing.synthesis // 2
    rise = np.sqrt(_hann(2 * (n_fft - half)))[: n_fft - half]  # slow rise over the old samples
    product = _hann(framing.synthesis)  # required product of analysis and synthesis

    analysis = np.empty(n_fft)
    analysis[: n_fft - half] = rise
    analysis[n_fft - half :] = np.sqrt(product[half:])

    synthesis = np.empty(framing.synthesis)
    synthesis[:half] = product[:half] / rise[n_fft - 2 * half :]
    synthesis[half:] = np.sqrt(product[half:])

    level = 2.0 / analysis.sum()
    overlap = framing.synthesis / (2.0 * framing.hop)  # sum of the shifted Hann windows
    return analysis * level, synthesis / (level * overlap)
