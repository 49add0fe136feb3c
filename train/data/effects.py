"""Audio effects for data augmentation: those of studios and of cheap audio interfaces.

All functions take and return float32 [2, n] at 44.1 kHz, and draw from the generator that they are given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
import scipy.fft
import scipy.signal
from numpy.random import Generator
from numpy.typing import NDArray

from train.data.cache import RATE

Wave = NDArray[np.float32]


def from_db(level_db: float) -> float:
    """Return the amplitude ratio of a level in dB."""
    return float(10.0 ** (level_db / 20.0))


def rms(wave: Wave) -> float:
    """Return the root mean square over both channels."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def active_rms(wave: Wave, window: int = 2048) -> float:
    """Return the RMS over the windows within 20 dB of the loudest one, without pauses; 0 for silence.

    A wave shorter than `window` frames is one window.
    """
    window = max(1, min(window, wave.shape[1]))
    whole = wave.shape[1] // window * window
    energy = np.square(wave[:, :whole]).reshape(2, -1, window).mean((0, 2))
    top = float(energy.max(initial=0.0))
    return float(np.sqrt(energy[energy >= top * 0.01].mean())) if top > 1e-10 else 0.0


@numba.njit(nogil=True, fastmath=True, cache=True)
def _cubic(wave: Wave, rate: float, out: Wave) -> None:
    # Catmull-Rom interpolation: its images are inaudible in a mixture.
    for i in range(out.shape[1]):
        position = i * rate + 1
        k = int(position)
        if k + 2 >= wave.shape[1]:
            break
        f = np.float32(position - k)
        for c in range(out.shape[0]):
            a, b, d, e = wave[c, k - 1], wave[c, k], wave[c, k + 1], wave[c, k + 2]
            out[c, i] = b + 0.5 * f * (d - a + f * (2 * a - 5 * b + 4 * d - e + f * (3 * (b - d) + e - a)))


def resample(wave: Wave, rate: float, frames: int) -> Wave:
    """Play `wave` at `rate` times its speed, `frames` long (silence where it runs out)."""
    out = np.zeros((wave.shape[0], frames), np.float32)
    _cubic(wave, rate, out)
    return out


def compress(wave: Wave) -> Wave:
    """Reduce level differences with a slow compressor of ratio 5 : 3."""
    envelope = np.sqrt(scipy.signal.lfilter([0.002], [1.0, -0.998], np.square(wave).mean(0)) + 1e-8)
    gain = np.clip(envelope / (active_rms(wave) + 1e-6) + 0.05, 0.05, 8.0) ** -0.4
    return np.asarray(wave * gain, np.float32)


def delayed(wave: Wave, frames: int) -> Wave:
    """Delay by `frames`, with silence before."""
    out = np.zeros_like(wave)
    kept = max(0, wave.shape[1] - frames)
    out[:, wave.shape[1] - kept :] = wave[:, :kept]
    return out


def pan(wave: Wave, position: float) -> Wave:
    """Pan from -1 (left) to 1 (right), with constant power and unit gain in the middle."""
    angle = math.pi / 4 * (1 + position)
    gains = np.array([[math.cos(angle)], [math.sin(angle)]], np.float32) * math.sqrt(2.0)
    return np.asarray(wave * gains, np.float32)


def reverb(wave: Wave, rng: Generator) -> Wave:
    """Add a diffuse room: stereo noise with an exponential decay of 0.15 to 1.3 s, 8 to 22 dB down."""
    decay_s = rng.uniform(0.15, 1.3)
    length = int(min(1.2 * decay_s, 1.2) * RATE)
    fall = np.exp(np.arange(length, dtype=np.float32) * np.float32(-6.9 / (decay_s * RATE)))
    response = rng.standard_normal((2, length), np.float32) * fall
    dull = np.float32(rng.uniform(0.0, 1.0))  # walls soak up the highs
    response[:, 1:] = response[:, 1:] + dull * response[:, :-1]
    response /= np.sqrt(np.square(response).sum(1, keepdims=True))
    wet = scipy.signal.oaconvolve(wave, response, axes=1)[:, : wave.shape[1]].astype(np.float32)
    return wave + from_db(rng.uniform(-22, -8)) * delayed(wet, int(rng.uniform(0, 0.04) * RATE))


def echo(wave: Wave, rng: Generator) -> Wave:
    """Add a slap or ping-pong echo of 60 to 400 ms."""
    frames, gain = int(rng.uniform(0.06, 0.4) * RATE), from_db(rng.uniform(-18, -8))
    out = wave.copy()
    out[0] += gain * delayed(wave, frames)[0]
    out[1] += gain * delayed(wave, int(frames * rng.choice([1.0, 1.5, 2.0])))[1]
    return out


def double(wave: Wave, rng: Generator) -> Wave:
    """Add a copy that is a little later, detuned, and panned elsewhere."""
    detune = 2.0 ** (rng.uniform(-0.15, 0.15) / 12)
    take = delayed(resample(wave, float(detune), wave.shape[1]), int(rng.uniform(0.008, 0.03) * RATE))
    return wave + from_db(rng.uniform(-8, -1)) * pan(take, rng.uniform(-1, 1))


@dataclass(frozen=True)
class Production:
    """Shares of dry voices that get each effect."""

    compressed: float = 0.5
    panned: float = 0.35
    roomy: float = 0.65
    echoing: float = 0.25
    doubled: float = 0.25


def produce(voice: Wave, rng: Generator, shares: Production = Production()) -> Wave:
    """Make a dry solo voice sound produced: compression, panning, reverb, echo, doubling, all random."""
    if rng.random() < shares.compressed:
        voice = compress(voice)
    out = pan(voice, rng.uniform(-0.3, 0.3)) if rng.random() < shares.panned else voice
    if rng.random() < shares.roomy:
        out = reverb(out, rng)
    if rng.random() < shares.echoing:
        out = echo(out, rng)
    if rng.random() < shares.doubled:
        out = double(out, rng)
    return out


def jump(waves: Wave, rng: Generator, largest_db: float) -> Wave:
    """Change the level of [..., n] by up to `largest_db` at one moment, as a fader does."""
    frames = waves.shape[-1]
    at, ramp = int(rng.uniform(0.1, 0.7) * frames), int(rng.uniform(0.005, 0.05) * RATE)
    gain_db = np.interp(np.arange(frames), (at, at + ramp), (0.0, rng.uniform(-largest_db, largest_db)))
    return np.asarray(waves * 10.0 ** (gain_db / 20.0), np.float32)


def tone_curve(rng: Generator, bins: int) -> NDArray[np.float32]:
    """Draw the gain [bins] of a smooth equaliser: some dB, over a logarithmic frequency axis."""
    octaves = np.log2(np.arange(1, bins + 1)) / np.log2(bins)
    level_db = sum(rng.normal(0, 2) * np.cos(np.pi * k * octaves) for k in (1, 2, 3))
    return np.asarray(10.0 ** (level_db / 20.0), np.float32)


def low_pass_curve(cutoff_hz: float, bins: int, width_hz: float = 150.0) -> NDArray[np.float32]:
    """Return a gain [bins] that falls to 0 within `width_hz` below `cutoff_hz`, as in lossy codecs."""
    frequency = np.linspace(0, RATE / 2, bins)
    return np.clip((cutoff_hz - frequency) / width_hz, 0, 1).astype(np.float32)


def equalise(
    waves: Wave, rng: Generator, tone: bool, cutoff_hz: float | None, first_tone: bool = False
) -> Wave:
    """Filter [..., n] with one random tone curve and low-pass; stems still add up afterwards.

    `first_tone` gives the first of the waves [k, 2, n] a tone curve of its own besides.
    """
    length = scipy.fft.next_fast_len(
        waves.shape[-1] + 2048, real=True
    )  # so that wrapped samples fall into silence
    bins = length // 2 + 1
    gain = tone_curve(rng, bins) if tone else np.ones(bins, np.float32)
    if cutoff_hz is not None:
        gain = gain * low_pass_curve(cutoff_hz, bins)
    spectrum = scipy.fft.rfft(waves, length) * gain
    if first_tone:
        spectrum[0] *= tone_curve(rng, bins)
    return np.asarray(scipy.fft.irfft(spectrum, length)[..., : waves.shape[-1]], np.float32)
