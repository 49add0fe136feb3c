"""Metrics of separated stems against the true ones, in dB."""

from __future__ import annotations

import math
import warnings
from functools import cached_property

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.linalg import LinAlgWarning, lu_factor, lu_solve, toeplitz

from train.data.effects import Wave

BSS_METRICS = ("sdr", "isr", "sir", "sar")
"""Ratios of the source to distortion, spatial errors, interference and artefacts."""

TAPS = 512  # of a distortion filter, museval's default
_BLOCK = 1 << 16  # samples transformed at a time


def _energies(wave: Wave, window: int) -> NDArray[np.float64]:
    count = wave.shape[1] // window
    framed = wave[:, : count * window].astype(np.float64).reshape(len(wave), count, window)
    return np.asarray(np.square(framed).sum((0, 2)))


def frame_sdr(reference: Wave, estimate: Wave, window: int) -> NDArray[np.float64]:
    """Return the SDR in dB of each whole window of [channels, n]; silent windows are left out.

    10 log10(|s|^2 / |s - e|^2), the SDR of the Music Demixing Challenge, on frames like those of museval.
    """
    signal, error = _energies(reference, window), _energies(reference - estimate, window)
    audible = signal > 1e-6 * window * len(reference)  # -60 dB
    return np.asarray(10 * np.log10(signal[audible] / (error[audible] + 1e-9)))


def si_sdr(reference: Wave, estimate: Wave) -> float:
    """Return the scale-invariant SDR in dB of a recording (Le Roux et al., ICASSP 2019); nan for silence."""
    target, guess = reference.astype(np.float64).ravel(), estimate.astype(np.float64).ravel()
    energy = float(target @ target)
    if energy < 1e-9:
        return float("nan")
    aligned = target * (float(guess @ target) / energy)
    return float(10 * np.log10((aligned @ aligned + 1e-12) / (np.square(guess - aligned).sum() + 1e-12)))


def level_db(wave: Wave, against: Wave) -> float:
    """Return the level of `wave` relative to `against` in dB, at least -120; nan if `against` is silent."""
    own, other = (float(np.square(w, dtype=np.float64).sum()) for w in (wave, against))
    if not other:
        return math.nan
    return float(10 * np.log10((own + 1e-12 * other + 1e-12) / (other + 1e-12)))


class BssEval:
    """BSS Eval v4 by museval against one set of references, for any number of estimates.

    There is one distortion filter of 512 taps for the whole recording, as in the SiSEC campaigns (F.-R.
    Stöter et al., "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018).

    museval computes the filters from the spectrum of a whole recording: 5 GB for a song of three minutes, for
    each estimate again. Here, equal correlations are summed block by block, and the equations of the
    references are factored once. Decomposition and ratios are those of museval.
    """

    def __init__(self, references: tuple[Wave, ...], window: int) -> None:
        """Set the references [channels, n]; figures are for frames of `window` samples."""
        self._true = np.stack(references)  # [targets, channels, n]
        self._window = window

    def score(self, estimates: tuple[Wave, ...]) -> dict[str, NDArray[np.float64]]:
        """Return each of BSS_METRICS as [targets, frames] in dB.

        A frame with a silent reference or estimate is nan, and so is a recording with a silent one, which
        museval refuses.
        """
        from museval import metrics

        true, found = self._true, np.stack(estimates)
        targets, _, length = true.shape
        frames = max(1, length // self._window)
        values = np.full((len(BSS_METRICS), targets, frames), np.nan)
        if not any(metrics._any_source_silent(waves.swapaxes(1, 2)) for waves in (true, found)):
            shared, own = self._filters(found)
            for t in range(frames):
                here = slice(t * self._window, (t + 1) * self._window)
                true_t, found_t = (waves[..., here].swapaxes(1, 2) for waves in (true, found))
                if metrics._any_source_silent(true_t) or metrics._any_source_silent(found_t):
                    continue
                for j in range(targets):
                    parts = metrics._bss_decomp_mtifilt(true_t, found_t[j], j, shared[j], own[j])
                    values[:, j, t] = metrics._bss_crit(*parts, bsseval_sources_version=False)
        return dict(zip(BSS_METRICS, values, strict=True))

    @cached_property
    def _equations(self) -> list[tuple[NDArray[np.float64], NDArray[np.int32]]]:
        # Factors of the Gram matrix of all references and their delays, then of each reference's own.
        inputs = self._true.reshape(-1, self._true.shape[2])
        sums = correlations(inputs, inputs, TAPS)
        back = sums[..., TAPS - 1 :: -1]  # lags 0, -1, ...
        count = range(len(inputs))
        gram = np.block([[toeplitz(back[a, b], sums[a, b, TAPS - 1 :]) for b in count] for a in count])
        size = len(gram) // len(self._true)
        own = [slice(start, start + size) for start in range(0, len(gram), size)]
        return [_factors(gram), *(_factors(gram[mine, mine]) for mine in own)]

    def _filters(self, found: Wave) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # Least-squares filters of each estimate from all references [targets, targets, channels, taps,
        # channels], and from its own one [targets, channels, taps, channels]: museval's `C` and `Cj`.
        targets, channels, length = self._true.shape
        outputs = targets * channels
        sums = correlations(self._true.reshape(outputs, length), found.reshape(outputs, length), TAPS)
        cross = (
            sums[..., TAPS - 1 :: -1].swapaxes(1, 2).reshape(-1, outputs)
        )  # [references and delays, outputs]
        every, *each = self._equations
        shared = lu_solve(every, cross).reshape(targets, channels, TAPS, targets, channels)
        own = [
            lu_solve(each[j], cross.reshape(targets, -1, targets, channels)[j, :, j]) for j in range(targets)
        ]
        return np.moveaxis(shared, 3, 0), np.stack(own).reshape(targets, channels, TAPS, channels)


def correlations(first: Wave, second: Wave, lags: int) -> NDArray[np.float64]:
    """Return the sums over n of first[a, n + l] second[b, n] as [a, b, 2 lags - 1], for -lags < l < lags."""
    around = 2 * (lags - 1)
    block = _BLOCK - around
    before = np.pad(first, ((0, 0), (lags - 1, lags - 1 + block)))
    total = np.zeros((len(first), len(second), _BLOCK // 2 + 1), np.complex128)
    for start in range(0, second.shape[1], block):
        a = scipy.fft.rfft(before[:, start : start + _BLOCK].astype(np.float64), _BLOCK)
        b = scipy.fft.rfft(second[:, start : start + block].astype(np.float64), _BLOCK)
        total += a[:, None] * b.conj()
    return np.asarray(scipy.fft.irfft(total, _BLOCK)[..., : around + 1])


def _factors(gram: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)  # of the zero that is looked for here
        factors = lu_factor(gram + np.finfo(float).eps * np.eye(len(gram)))
    if np.diag(factors[0]).all():
        return factors
    # Equal channels: many filters fit, and a small ridge selects one of them.
    return lu_factor(gram + 1e-10 * np.trace(gram) / len(gram) * np.eye(len(gram)))


def over_frames(frames: NDArray[np.float64]) -> float:
    """Return the median of the frames with a figure; nan if there are none."""
    known = frames[~np.isnan(frames)]
    return float(np.median(known)) if known.size else float("nan")


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of independent values [n]; nan for less than two."""
    return float(np.std(values, ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.nan
