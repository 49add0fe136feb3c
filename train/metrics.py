"""Figures of merit, in dB, of separated stems against the true ones."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]

BSS_METRICS = ("sdr", "isr", "sir", "sar")
"""To distortion, to image (spatial or filtering errors), to interference, to artefacts."""


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


def bss_eval(
    references: tuple[Wave, ...], estimates: tuple[Wave, ...], window: int
) -> dict[str, NDArray[np.float64]]:
    """BSS Eval v4 by museval: each of BSS_METRICS as [targets, frames] in dB, of frames of `window` samples.

    One distortion filter of 512 taps for the whole recording, as the SiSEC campaigns have it (F.-R. Stöter et
    al., "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018). A frame in which any reference or
    estimate is silent is nan throughout; so is a recording that holds a silent one, which museval refuses.
    """
    import museval

    true, found = (np.stack([wave.T for wave in waves]) for waves in (references, estimates))
    if any((waves.sum(2) == 0).all(1).any() for waves in (true, found)):
        frames = max(1, true.shape[1] // window)
        return {metric: np.full((len(true), frames), np.nan) for metric in BSS_METRICS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scipy, about fftpack
        values = museval.evaluate(true, found, win=window, hop=window, mode="v4")
    return dict(zip(BSS_METRICS, map(np.asarray, values), strict=True))


def over_frames(frames: NDArray[np.float64]) -> float:
    """Median of the frames that have a figure; nan where none has."""
    known = frames[~np.isnan(frames)]
    return float(np.median(known)) if known.size else float("nan")
