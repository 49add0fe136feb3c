"""The time-stretcher of played files: tempo, pitch, purity, attacks, and the same sound from any blocks."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.audio import stretch
from rtsep.audio.stretch import AS_RECORDED, Stretch, Stretcher
from rtsep.errors import UsageError
from tests.audio.bench import noise

RATE = 44100
WAYS = [(0.5, 0), (0.8, 0), (1.25, 0), (1.5, 0), (1.0, -6), (1.0, 6), (1.0, 0.5), (0.7, -4), (1.3, 3)]


def played(x: np.ndarray, speed: float, key: float, block: int = 4410, rate: int = RATE) -> np.ndarray:
    """Return `x` [frames, channels] at another speed and key, whole."""
    stretcher = Stretcher(rate, speed, key, x[:0])
    parts = [stretcher.stretch(x[at : at + block]) for at in range(0, len(x), block)]
    return np.concatenate([*parts, stretcher.stretch(x[:0], last=True)])


def tone(hz: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)[
        :, None
    ]


@pytest.mark.parametrize(("speed", "key"), WAYS)
def test_a_sine_stays_a_sine_of_the_right_pitch(speed, key):
    y = played(tone(440, 4), speed, key)
    assert abs(len(y) - 4 * RATE / speed) <= 1
    middle = y[RATE // 2 : -RATE // 2, 0]
    spectrum = np.abs(np.fft.rfft(middle * np.blackman(len(middle))))
    top = int(spectrum.argmax())
    hz = np.fft.rfftfreq(len(middle), 1 / RATE)
    assert hz[top] == pytest.approx(440 * 2 ** (key / 12), abs=hz[1])
    beside = spectrum.copy()
    beside[top - 6 : top + 7] = 0
    assert 20 * np.log10(beside.max() / spectrum[top]) < -40
    assert np.abs(middle).max() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("rate", [22050, 48000, 96000])
def test_other_rates(rate):
    y = played(tone(440, 3, rate), 0.8, 2, rate=rate)[:, 0]
    middle = y[rate // 2 : -rate // 2]
    rising = np.flatnonzero((middle[:-1] < 0) & (middle[1:] >= 0))
    assert rate / np.diff(rising).mean() == pytest.approx(440 * 2 ** (2 / 12), rel=1e-3)


@pytest.mark.parametrize(("speed", "key"), WAYS)
def test_attacks_stay_where_they_are_and_sharp(speed, key):
    x, starts = np.zeros((4 * RATE, 1), np.float32), [round(RATE * (0.3 + 0.5 * k)) for k in range(7)]
    burst = noise(4000, 1) * np.exp(-np.arange(4000) / 600)[:, None].astype(np.float32)
    for start in starts:
        x[start : start + 4000] += burst
    energy = played(x, speed, key)[:, 0] ** 2
    for start in starts:
        at = round(start / speed)
        sum_here = np.cumsum(energy[at - 4410 : at + 8820])
        rises = np.searchsorted(sum_here, 0.1 * sum_here[-1]) - 4410
        assert -0.002 < rises / RATE < 0.006  # of a burst whose first tenth takes 0.7 ms
        assert sum_here[4410 - 441] < 0.08 * sum_here[-1]  # hardly anything up to 10 ms before


def test_the_blocks_that_the_input_comes_in_do_not_matter():
    x = noise(RATE, 2)
    whole = played(x, 0.8, 3, block=RATE)
    for block in (100, 4410, 30_001):
        np.testing.assert_array_equal(played(x, 0.8, 3, block), whole)


def test_each_channel_keeps_its_sound():
    x = np.concatenate([tone(440, 2), 0.5 * tone(1000, 2), np.zeros((2 * RATE, 1), np.float32)], axis=1)
    middle = played(x, 1.2, 0)[RATE // 2 : RATE]
    for channel, (hz, peak) in enumerate(((440, 0.5), (1000, 0.25))):
        rising = np.flatnonzero((middle[:-1, channel] < 0) & (middle[1:, channel] >= 0))
        assert RATE / np.diff(rising).mean() == pytest.approx(hz, rel=1e-3)
        assert np.abs(middle[:, channel]).max() == pytest.approx(peak, rel=0.05)
    assert not middle[:, 2].any()


def test_the_sound_before_the_first_frame_makes_it_begin_at_full_level():
    x = tone(440, 2)
    begun = Stretcher(RATE, 0.8, 0, x[:RATE])
    y = np.concatenate([begun.stretch(x[RATE:]), begun.stretch(x[:0], last=True)])
    assert abs(len(y) - RATE / 0.8) <= 1
    loudness = np.sqrt(np.mean(y[: len(y) // 1000 * 1000].reshape(-1, 1000) ** 2, axis=1))
    np.testing.assert_allclose(loudness[:-5], 0.5 / np.sqrt(2), rtol=0.03)


def test_what_is_out_of_range_is_refused():
    for speed, key in ((0.49, 0), (1.51, 0), (float("nan"), 0), (1, 6.1), (1, -7), (1, float("nan"))):
        with pytest.raises(UsageError, match="out of range"):
            AS_RECORDED.but(speed, key)
    assert AS_RECORDED.but(0.5, None).but(None, -6) == Stretch(0.5, -6)


def test_without_the_library_a_line_has_the_remedy(monkeypatch):
    monkeypatch.setattr(stretch.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(stretch.ctypes.util, "find_library", lambda name: None)
    stretch._functions.cache_clear()
    try:
        with pytest.raises(UsageError, match="pip install bungee-python"):
            stretch.require_stretcher()
    finally:
        stretch._functions.cache_clear()
