"""Figures of merit that need no toolbox; museval's are in `train.evaluate`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]


def _energies(wave: Wave, window: int) -> NDArray[np.float64]:
    count = wave.shape[1] // window
    framed = wave[:, : count * window].astype(np.float64).reshape(len(wave), count, window)
    return np.asarray(np.square(framed).sum((0, 2)))


def frame_sdr(reference: Wave, estimate: Wave, window: int) -> NDArray[np.float64]:
    """Signal-to-distortion ratio in dB of each whole window of [channels, n]; silent windows are left out.

    10 log10(|s|^2 / |s - e|^2), the SDR of the Music Demixing Challenge, on frames as museval has them.
    """
    signal, error = _energies(reference, window), _energies(reference - estimate, window)
    heard = signal > 1e-6 * window * len(reference)  # -60 dB
    return np.asarray(10 * np.log10(signal[heard] / (error[heard] + 1e-9)))


def si_sdr(reference: Wave, estimate: Wave) -> float:
    """Scale-invariant SDR in dB of a whole recording (J. Le Roux et al., ICASSP 2019); nan for silence."""
    target, guess = reference.astype(np.float64).ravel(), estimate.astype(np.float64).ravel()
    energy = float(target @ target)
    if energy < 1e-9:
        return float("nan")
    aligned = target * (float(guess @ target) / energy)
    return float(10 * np.log10((aligned @ aligned + 1e-12) / (np.square(guess - aligned).sum() + 1e-12)))


def level_db(wave: Wave, against: Wave) -> float:
    """Level of `wave` relative to `against` in dB, at least -120."""
    own, other = (float(np.square(w, dtype=np.float64).sum()) for w in (wave, against))
    return float(10 * np.log10((own + 1e-12 * other + 1e-12) / (other + 1e-12)))
