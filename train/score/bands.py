"""Level of two bands in the estimated instrumental against the true one, while somebody sings.

On a sung vowel a mask may take the bass along with the voice's low partials; on a sibilant it may take the
cymbals. A listener notices the dips. An SDR over all frequencies hardly does: these bands hold little of the
voice's energy.

The true stems alone choose the frames, so that two models are measured on the same ones. A frame of the voice
is active if it is at most ACTIVE_DB below the loudest tenth of the voice's frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from train.data.cache import RATE
from train.data.effects import Wave
from train.score.evaluate import Skipped
from train.score.measuring import NO_SONGS, Bench, Clip, Measure, Worker, read_clip
from train.score.metrics import standard_error
from train.score.scores import Content

FRAME = 4096
"""Samples of a spectrum: 93 ms at RATE, 10.8 Hz a bin, so that the low band has some 18 bins."""

HOP = 1024

_SPECTRA = ShortTimeFFT(hann(FRAME, sym=False), HOP, RATE, fft_mode="onesided2X", scale_to="psd")

ACTIVE_DB = 20.0

FAINT_DB = -60.0
"""dBFS (RMS of the band in one frame) below which the true instrumental has no level to compare."""

FLOOR_DB = -30.0
"""Lowest level difference of a frame. Without it, one frame that is nearly silent would decide the mean."""

DIP_DB = -6.0
"""A frame whose level difference is lower has an audible dip."""

BAND_DB = 3.0

MIN_FRAMES = 10
"""A clip with fewer frames of a kind gives no figure."""


@dataclass(frozen=True)
class Band:
    """A band of the instrumental, and the voice's frames in which it is measured."""

    name: str
    low_hz: float
    high_hz: float
    voice_low_hz: tuple[float, float]
    voice_high_hz: tuple[float, float]
    sibilant: bool  # the voice's higher band is the louder one; else the lower one, by VOWEL_DB

    def frames(self, power: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return the frames [n] to measure, from the power spectra [n, bins] of the true voice."""
        total = power.sum(1)
        if not total.any():
            return np.zeros(len(power), bool)
        active = total > np.quantile(total, 0.9) * 10 ** (-ACTIVE_DB / 10)
        low, high = (power[:, _bins(*band)].sum(1) for band in (self.voice_low_hz, self.voice_high_hz))
        return active & ((high > low) if self.sibilant else (low > high * 10 ** (VOWEL_DB / 10)))


VOWEL_DB = 15.0
"""A vowel's band below 3 kHz is louder than the band of sibilants by this much."""

BASS = Band("bass under vowels", 60, 250, (80, 3000), (4500, 16000), sibilant=False)
AIR = Band("treble beside sibilants", 8000, 16000, (80, 3000), (4500, 16000), sibilant=True)
BANDS = (BASS, AIR)


def band_levels(voice: Wave, instrumental: Wave, estimate: Wave) -> dict[str, dict[str, float]]:
    """Return for each band `db` and `dips` of `estimate` against `instrumental`; no entry: too few frames.

    `db` is the mean level difference over frames in dB, `dips` the share of the frames below DIP_DB. All are
    [2, n] at RATE: the true voice, the true instrumental, the estimated instrumental.
    """
    sung, true, found = (_power(wave) for wave in (voice, instrumental, estimate))
    levels = {band.name: _differences(band, sung, true, found) for band in BANDS}
    return {
        name: {"db": float(found.mean()), "dips": float((found < DIP_DB).mean())}
        for name, found in levels.items()
        if len(found) >= MIN_FRAMES
    }


def _differences(
    band: Band, sung: NDArray[np.float64], true: NDArray[np.float64], found: NDArray[np.float64]
) -> NDArray[np.float64]:
    bins = _bins(band.low_hz, band.high_hz)
    wanted, given = true[:, bins].sum(1), found[:, bins].sum(1)
    frames = band.frames(sung) & (wanted > 10 ** (FAINT_DB / 10))
    with np.errstate(divide="ignore"):
        return np.maximum(10 * np.log10(given[frames] / wanted[frames]), FLOOR_DB)


def _bins(low_hz: float, high_hz: float) -> slice:
    return slice(round(low_hz * FRAME / RATE), round(high_hz * FRAME / RATE) + 1)


def _power(wave: Wave) -> NDArray[np.float64]:
    """Return the power spectrogram [frames, bins] of a wave [2, n], averaged over the channels.

    Its sum over a band is the mean square of that band.
    """
    if wave.shape[1] < FRAME:
        return np.zeros((0, FRAME // 2 + 1))
    power = _SPECTRA.spectrogram(wave) * (RATE / FRAME)
    return np.asarray(power.mean(0).T, np.float64)


# ---------------------------------------------------------------------- measures
def bass_under_vowels(bench: Bench) -> Measure:
    """Measure whether the bass keeps its level while a vowel is sung."""
    return _by_band(bench, BASS)


def treble_beside_sibilants(bench: Bench) -> Measure:
    """Measure whether the treble keeps its level beside a sibilant."""
    return _by_band(bench, AIR)


def _by_band(bench: Bench, band: Band) -> Measure:
    asks = f"level of {band.low_hz:g} to {band.high_hz:g} Hz in the instrumental, against the true one"
    measure = Measure(band.name, asks, "dB", f"mean within {BAND_DB:g} dB")
    if not bench.clips:
        return measure.not_measured(NO_SONGS)
    rows = [row for row in bench.of_clips(measure_bands, "bands")[0] if band.name in row["bands"]]
    if not rows:
        return measure.not_measured("no clip has enough frames with such a voice over such music")
    clips: list[Content] = [{"clip": row["clip"]} | row["bands"][band.name] for row in rows]
    values = np.array([clip["db"] for clip in clips])
    return measure.found(
        values.mean(),
        abs(values.mean()) <= BAND_DB,
        mean=float(values.mean()),
        se=standard_error(values),
        median=float(np.median(values)),
        dip_db=DIP_DB,
        dips=float(np.mean([clip["dips"] for clip in clips])),
        lowest=min(clips, key=lambda clip: clip["db"]),
        bands=clips,
    )


def measure_bands(worker: Worker, clip: Clip) -> Content | Skipped:
    """Return the band levels of a clip as the model plays it."""
    track = read_clip(worker, clip)
    if isinstance(track, Skipped):
        return track
    assert track.stems is not None
    return {"clip": track.name, "bands": band_levels(*track.stems, worker.play(track.mix)[1])}
