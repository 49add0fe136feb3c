"""The level of the bass under vowels and of the treble beside sibilants."""

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from train.data.cache import RATE
from train.score.bands import AIR, BASS, FLOOR_DB, FRAME, band_levels

SECONDS = 3


def tones(*hz):
    time = np.arange(SECONDS * RATE) / RATE
    return np.tile(sum(0.1 * np.sin(2 * np.pi * f * time) for f in hz), (2, 1)).astype(np.float32)


def noise_above(hz, seed=1):
    noise = 0.1 * np.random.default_rng(seed).standard_normal((2, SECONDS * RATE))
    return sosfilt(butter(8, hz, "high", fs=RATE, output="sos"), noise).astype(np.float32)


VOWEL, SIBILANT = tones(220, 440, 660), noise_above(5000)
MUSIC = tones(100, 1000) + noise_above(8000, seed=2)


def test_the_true_instrumental_has_its_own_level():
    assert band_levels(VOWEL, MUSIC, MUSIC) == {BASS.name: {"db": 0, "dips": 0}}
    assert band_levels(SIBILANT, MUSIC, MUSIC) == {AIR.name: {"db": 0, "dips": 0}}


@pytest.mark.parametrize(("gain_db", "dips"), [(-10, 1), (-3, 0), (4, 0)])
def test_a_lowered_band_is_told_in_db(gain_db, dips):
    gain = np.float32(10 ** (gain_db / 20))
    bass = band_levels(VOWEL, MUSIC, gain * tones(100) + tones(1000))[BASS.name]
    assert bass == {"db": pytest.approx(gain_db, abs=0.05), "dips": dips}
    air = band_levels(SIBILANT, MUSIC, tones(100) + gain * noise_above(8000, seed=2))[AIR.name]
    assert air == {"db": pytest.approx(gain_db, abs=0.05), "dips": dips}


def test_only_frames_with_such_a_voice_count():
    sung = VOWEL.copy()
    sung[:, RATE:] = 0
    estimate = MUSIC.copy()
    estimate[:, RATE + 2 * FRAME :] = 0  # nobody sings there
    assert band_levels(sung, MUSIC, estimate)[BASS.name]["db"] == pytest.approx(0, abs=0.1)


def test_silence_has_a_floor_and_faint_music_and_short_clips_no_figure():
    assert band_levels(VOWEL, MUSIC, 0 * MUSIC)[BASS.name] == {"db": FLOOR_DB, "dips": 1}
    assert band_levels(VOWEL, 1e-5 * MUSIC, MUSIC) == {}
    assert band_levels(0 * VOWEL, MUSIC, MUSIC) == {}
    assert band_levels(VOWEL[:, :FRAME], MUSIC[:, :FRAME], MUSIC[:, :FRAME]) == {}
    assert band_levels(VOWEL[:, :100], MUSIC[:, :100], MUSIC[:, :100]) == {}
