"""Plain float64 twins of the compiled signal path: whole signals at once, nothing shared with the kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp.stft import analyse, make_stft, synthesise
from rtsep.dsp.windows import Framing, window_pair

UNIT_ROUNDOFF = 2.0**-24  # of float32


def noise(channels: int, frames: int, seed: int = 0, level: float = 0.5) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-level, level, (channels, frames)).astype(np.float32)


def decibels(error: NDArray, reference: NDArray) -> float:
    """Return the power of `error` relative to that of `reference` in dB."""
    return 10 * np.log10(
        np.mean(np.square(error, dtype=float)) / np.mean(np.square(reference, dtype=float)) + 1e-30
    )


def whole_stft(signal: NDArray, framing: Framing) -> NDArray[np.complex128]:
    """Return the columns [steps, channels, bins] of `signal` [channels, frames], silence before it."""
    window = window_pair(framing)[0]
    padded = np.pad(np.asarray(signal, float), ((0, 0), (framing.n_fft - framing.hop, 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, framing.n_fft, axis=1)[:, :: framing.hop]
    return np.moveaxis(np.fft.rfft(frames * window, axis=-1), 0, 1)


def whole_istft(columns: NDArray, framing: Framing) -> NDArray[np.float64]:
    """Return what a stream has played by the last of `columns` [steps, channels, bins]."""
    window, hop = window_pair(framing)[1], framing.hop
    steps, channels, _ = columns.shape
    newest = np.fft.irfft(columns, framing.n_fft, axis=-1)[:, :, -framing.synthesis :] * window
    played = np.zeros((channels, steps * hop + framing.synthesis))
    for t in range(steps):
        played[:, t * hop : t * hop + framing.synthesis] += newest[t]
    return played[:, : steps * hop]


def stream(
    signal: NDArray[np.float32], framing: Framing, levels: NDArray | None = None
) -> tuple[NDArray[np.complex128], NDArray[np.float32]]:
    """Run the compiled STFT hop by hop; return its columns [steps, channels, bins] and what it played.

    `levels` [steps] scales each column on the way.
    """
    channels, hop = signal.shape[0], framing.hop
    stft = make_stft(framing, channels)
    steps = signal.shape[1] // hop
    spectra = np.zeros((steps, channels, framing.bins, 2), np.float32)
    played = np.zeros((channels, steps * hop), np.float32)
    block = np.zeros((channels, hop), np.float32)
    for t in range(steps):
        analyse(stft, np.ascontiguousarray(signal[:, t * hop : (t + 1) * hop]), spectra[t])
        masked = spectra[t] if levels is None else spectra[t] * np.float32(levels[t])
        synthesise(stft, masked, block)
        played[:, t * hop : (t + 1) * hop] = block
    return spectra[..., 0] + 1j * spectra[..., 1].astype(float), played
