"""Converts the network's mask to the played mask: smoothing, gate, threshold.

It runs once per hop, on the column of that hop. Block: one column, stream delay 0. A changed setting takes
effect in the cross-fade of two overlapping windows, so it does not click.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SOFT, BINARY = 0, 1

BINARY_THRESHOLD = 0.5
"""Threshold of binary masks while the control is 0, because nearly everything above 0 would be voice."""

_INAUDIBLE = 1e-8  # -160 dB; keeps the smoother out of denormals


@njit(cache=True, nogil=True)
def smoothing_factor(time_ms: float, hop: int, rate: float) -> float:
    """Return the one-pole factor per hop with the time constant `time_ms`; 0: no smoothing."""
    return math.exp(-1000.0 * hop / (rate * time_ms)) if time_ms > 0 else 0.0


@njit(cache=True, nogil=True)
def shape_mask(
    raw: np.ndarray,
    smooth: np.ndarray,
    mode: int,
    threshold: float,
    gate: float,
    factor: float,
    played: np.ndarray,
) -> None:
    """Write the `played` mask from the `raw` one; all are [channels, bins], values 0..1.

    `smooth` is the smoother's state. With threshold, gate and factor 0 a soft mask is unchanged. NaN counts
    as 0, and other values are limited to 0..1, so a broken network cannot amplify.
    """
    keep, take = np.float32(factor), np.float32(1.0 - factor)
    if mode == BINARY and threshold == 0:
        threshold = BINARY_THRESHOLD
    limit, floor = np.float32(threshold), np.float32(gate)
    for c in range(raw.shape[0]):
        for k in range(raw.shape[1]):
            m = raw[c, k]
            if not m > 0:  # also true for NaN
                m = np.float32(0)
            elif m > 1:
                m = np.float32(1)
            m = keep * smooth[c, k] + take * m
            if m < _INAUDIBLE:
                m = np.float32(0)
            smooth[c, k] = m
            if m < floor:
                m = np.float32(0)
            if mode == BINARY:
                m = np.float32(1) if m > limit else np.float32(0)
            elif m < limit:
                share = m / limit
                m *= share * share  # a downward expander of ratio 1:3, continuous at the threshold
            played[c, k] = m


@njit(cache=True, nogil=True)
def apply_mask(mask: np.ndarray, spectra: np.ndarray, masked: np.ndarray) -> None:
    """Write `spectra` [channels, bins, 2] times `mask` [1 or 2, bins] to `masked`.

    Even channels take the first mask, odd ones the last.
    """
    for c in range(spectra.shape[0]):
        row = mask[min(c % 2, mask.shape[0] - 1)]
        for k in range(spectra.shape[1]):
            masked[c, k, 0] = spectra[c, k, 0] * row[k]
            masked[c, k, 1] = spectra[c, k, 1] * row[k]
