"""Methods without training, each on a mix of the kind that it is made for; and on one that it is not."""

import numpy as np
import pytest

from benchmarks.centre import CentreMask
from benchmarks.hpss import Hpss
from benchmarks.repet import OnlineRepetSim, RepetSim
from benchmarks.streams import MaskStream
from train.data.cache import RATE
from train.score.metrics import si_sdr

SECONDS = 5


def time_axis(seconds=SECONDS):
    return np.arange(int(seconds * RATE)) / RATE


def stereo(left, right):
    return np.stack([left, right]).astype(np.float32)


def tones(frequencies, seconds=SECONDS):
    return 0.05 * sum(np.sin(2 * np.pi * f * time_axis(seconds)) for f in frequencies)


def gained(stems, voice, music):
    """By how many dB both stems are nearer to the truth than the mix is."""
    mix = voice + music
    return [
        si_sdr(true, found) - si_sdr(true, mix) for true, found in zip((voice, music), stems, strict=True)
    ]


def test_centre_extraction_takes_the_middle_and_leaves_the_sides():
    middle = tones([440, 880])
    voice = stereo(middle, middle)
    music = stereo(tones([300, 1200]), tones([520, 2500]))
    system = MaskStream(CentreMask(), "", "")
    assert min(gained(system.separate(voice + music), voice, music)) > 10
    # Its limit is its definition: what is bass, or out of phase, is no voice.
    bass, opposed = tones([40]), tones([700])
    vocals, _ = system.separate(stereo(bass, bass) + stereo(opposed, -opposed))
    assert np.std(vocals[:, RATE:]) < 0.1 * np.std(bass + opposed)


def loop_and_passer_by(loop_s=1.2):
    """A loop of chords that comes over and over, and a gliding tone that never comes again."""
    rng = np.random.default_rng(3)
    frames = int(loop_s * RATE)
    notes = rng.choice(np.geomspace(150, 3000, 40), (6, 5))
    parts = []
    for chord in notes:
        t = np.arange(frames // 6) / RATE
        parts.append(sum(np.sin(2 * np.pi * f * t) for f in chord) * np.hanning(len(t)) ** 0.25 * 0.03)
    loop = np.resize(np.concatenate(parts), int(SECONDS * RATE))
    glide = 0.06 * np.sin(2 * np.pi * np.cumsum(500 * 3 ** (time_axis() / SECONDS)) / RATE)
    return stereo(glide, glide), stereo(loop, 0.8 * loop)


@pytest.mark.parametrize(
    "make", [RepetSim, lambda: MaskStream(OnlineRepetSim(), "", "")], ids=["whole", "online"]
)
def test_repet_takes_what_comes_once_and_leaves_what_comes_again(make):
    voice, music = loop_and_passer_by()
    stems = make().separate(voice + music)
    np.testing.assert_allclose(stems[0] + stems[1], voice + music, atol=1e-4)
    settled = slice(3 * RATE, None)  # after the first round of the loop
    assert min(gained([stem[:, settled] for stem in stems], voice[:, settled], music[:, settled])) > 6


def test_hpss_takes_what_wavers_and_leaves_tones_and_clicks():
    vibrato = 15 * np.sin(2 * np.pi * 3 * time_axis())
    wavering = 0.05 * sum(np.sin(2 * np.pi * k * np.cumsum(440 + vibrato) / RATE) for k in (1, 2, 3))
    steady = tones([196, 246.9, 293.7, 1174.7])
    clicks = np.zeros_like(steady)
    clicks[:: RATE // 2] = 1.0
    voice, music = stereo(wavering, wavering), stereo(steady + clicks, steady + clicks)
    stems = Hpss().separate(voice + music)
    voice_gain, music_gain = gained(stems, voice, music)
    assert voice_gain > 8 and music_gain > 3, "a weak method, but one"
    np.testing.assert_allclose(stems[0] + stems[1], voice + music, atol=1e-6)
    vocals, _ = Hpss().separate(music)
    assert np.std(vocals) < 0.35 * np.std(music)


@pytest.mark.parametrize("make", [RepetSim, Hpss])
def test_silence_stays_silence(make):
    vocals, others = make().separate(np.zeros((2, 2 * RATE), np.float32))
    assert not vocals.any() and not others.any()
