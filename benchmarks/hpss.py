"""Harmonic-percussive separation by median filters, twice: with long windows, then with short ones.

D. FitzGerald, "Harmonic/percussive separation using median filtering", DAFx 2010, and D. FitzGerald and M.
Gainza, "Single channel vocal separation using median filtering and factorisation techniques", ISAST
Transactions on Electronic and Signal Processing 4 (1), 2010: in windows of 0.4 s a voice varies too much to
be a tone and goes with the drums; in short ones it is a tone, and the drums are not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from benchmarks.spectra import Spectra, share
from train.data.effects import Wave
from train.data.tracks import Stems

TAPS = 17  # length of the median filters, in frames and in bins
LONG, LONG_HOP = 16384, 4096
SHORT, SHORT_HOP = 1024, 256


class Hpss:
    """Separator (`train.score.peers.Peer`)."""

    title = "HPSS, two resolutions"
    licence = "method published; code of this project"
    params = 0
    # Latency of centred filters: half of their frames, and a window, at both resolutions.
    latency_samples = LONG + TAPS // 2 * LONG_HOP + SHORT + TAPS // 2 * SHORT_HOP

    def separate(self, mix: Wave) -> Stems:
        """Return vocals and accompaniment [2, n] of `mix` [2, n]."""
        long, short = Spectra(LONG, LONG_HOP), Spectra(SHORT, SHORT_HOP)
        spectra = long.of(mix)
        wavering = long.masked(spectra, 1 - harmonic(np.abs(spectra)), mix.shape[1])
        spectra = short.of(wavering)
        masks = harmonic(np.abs(spectra)) * short.voiced[:, None]
        vocals = short.masked(spectra, masks, mix.shape[1])
        return vocals, mix - vocals


def harmonic(magnitudes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the share of steady tones against broadband sounds, by squares, of [2, bins, frames]."""
    lasting = np.square(median_filter(magnitudes, (1, 1, TAPS), mode="nearest"))
    broad = np.square(median_filter(magnitudes, (1, TAPS, 1), mode="nearest"))
    return share(lasting, lasting + broad)
