"""Pictures of sound, for pages: level and masks over time and logarithmic frequency."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from rtsep.model.contract import ModelSpec
from rtsep.pipeline import model_rate_for
from train.data.cache import RATE
from train.data.effects import Wave

LOW_HZ, HIGH_HZ, RANGE_DB = 60.0, 16000.0, 80.0
TICKS_HZ = {100: "100", 300: "300", 1000: "1k", 3000: "3k", 10000: "10k"}
WIDTH, HEIGHT = 1000, 160  # in pixels
FFT = 4096

Picture = NDArray[np.float32]
"""[HEIGHT, WIDTH], highest frequency first."""


def frequencies() -> NDArray[np.float64]:
    """Return the frequency in Hz of each row of a picture, highest first."""
    return np.geomspace(HIGH_HZ, LOW_HZ, HEIGHT)


def height_of(hertz: float) -> float:
    """Return the height of a frequency in a picture: 0 at the bottom, 1 at the top."""
    return float(np.log(hertz / LOW_HZ) / np.log(HIGH_HZ / LOW_HZ))


def sound_picture(wave: Wave) -> Picture:
    """Return the level in dB of [2, n], by the mean power of both channels; 0 is a full-scale sine."""
    columns, hertz = _spectrum(wave)
    power = np.square(np.abs(columns)).mean(0) * 4
    return _columns(log_rows(10 * np.log10(power + 1e-12), hertz, np.max))


def ideal_picture(voice: Wave, music: Wave) -> Picture:
    """Return the ideal ratio mask of the mid of two waves [2, n]; nan in silence."""
    (v, hertz), (m, _) = (_spectrum(wave.mean(0)) for wave in (voice, music))
    mask = ideal_mask(v, m)
    rows = log_rows(np.nan_to_num(mask), hertz, np.mean)
    rows[log_rows(np.isnan(mask).astype(np.float32), hertz, np.max) == 1] = np.nan
    return _columns(rows)


def ideal_mask(
    voice: NDArray[np.complexfloating], music: NDArray[np.complexfloating]
) -> NDArray[np.floating]:
    """Return the ratio mask in 0..1 of two spectra of equal shape; nan in silence."""
    both = np.abs(voice) + np.abs(music)
    return np.where(both > 0, np.abs(voice) / np.where(both > 0, both, 1), np.nan)


def mask_picture(masks: NDArray[np.float16], spec: ModelSpec, start_s: float, seconds: float) -> Picture:
    """Return the picture of `masks` [steps, bins] from `start_s` on; nan above the band of the model."""
    rate = model_rate_for(spec, RATE)
    edges = start_s + np.linspace(0, seconds, WIDTH + 1)
    # The block that column c completes is centred half a synthesis window before its newest sample.
    steps = edges * rate / spec.hop + spec.synthesis / (2 * spec.hop) - 1 + spec.lookahead_hops
    first = np.clip(np.floor(steps[:-1]).astype(int), 0, len(masks) - 1)
    last = np.clip(np.ceil(steps[1:]).astype(int), first + 1, max(len(masks), 1))
    columns = [masks[a:b].astype(np.float32).mean(0) for a, b in zip(first, last, strict=True)]
    picture = log_rows(np.stack(columns, 1), np.arange(spec.bins) * rate / spec.n_fft, np.mean)
    picture[frequencies() > rate / 2] = np.nan
    return picture


def log_rows(
    values: NDArray[np.floating], hertz: NDArray[np.floating], how: Callable[..., NDArray[np.floating]]
) -> NDArray[np.float32]:
    """Return bins [bins, T] at the frequencies `hertz` as rows [HEIGHT, T].

    A row combines, by `how`, all bins nearest to it, so that no thin tone is lost between rows. If bins are
    further apart than rows, rows are interpolated.
    """
    centres = frequencies()
    step = (HIGH_HZ / LOW_HZ) ** (0.5 / (HEIGHT - 1))
    low, high = np.searchsorted(hertz, centres / step), np.searchsorted(hertz, centres * step)
    place = np.interp(centres, hertz, np.arange(len(hertz)))
    below = np.minimum(place.astype(int), len(hertz) - 2)
    part = (place - below)[:, None]
    between = (1 - part) * values[below] + part * values[below + 1]
    rows = [how(values[a:b], axis=0) if b > a else row for a, b, row in zip(low, high, between, strict=True)]
    return np.stack(rows).astype(np.float32)


def paint(path: Path, values: Picture, low: float, high: float, colours: str) -> None:
    """Write a picture as PNG, one pixel for each value, clipped to `low` and `high`; nan is grey."""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    shades = colormaps[colours]((values - low) / (high - low))  # [HEIGHT, WIDTH, 4]
    shades[np.isnan(values)] = (0.5, 0.5, 0.5, 1.0)
    imsave(path, np.ascontiguousarray(shades[..., :3]))


def _spectrum(wave: Wave) -> tuple[NDArray[np.complexfloating], NDArray[np.floating]]:
    # STFT [..., bins, T] of [..., n], scaled to amplitude, about a column a pixel; frequency of each bin.
    hop = max(1, -(-wave.shape[-1] // WIDTH))
    size = max(FFT, hop)
    frames = wave.shape[-1]
    if frames < size:
        wave = np.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(0, size - frames)])
    hertz, _, columns = scipy.signal.stft(wave, RATE, nperseg=size, noverlap=size - hop, padded=True)
    return columns[..., : frames // hop + 1] if frames < size else columns, hertz


def _columns(rows: NDArray[np.float32]) -> Picture:
    at = np.linspace(0, rows.shape[1] - 1, WIDTH).round().astype(int)
    return rows[:, at]
