"""Everything fades out before devices go, and fades in on new ones, once there is sound."""

from types import SimpleNamespace

import numpy as np
import pytest

from rtsep.audio import rings as layout
from rtsep.audio.engine_mixer import FADE_S, EngineMixer
from rtsep.audio.rings import Rings
from tests.audio.test_engine_mixer import call_mixer

FADE = round(FADE_S * 44100)
RISING = (np.arange(FADE) + 1) / FADE


@pytest.fixture
def rings():
    """Output of an engine: as many ones as requested."""
    rings = Rings(44100, 1, [0], 1)
    rings.output[:] = 1
    rings.state[layout.OUT_WRITE] = 1 << 40
    return rings


def a_mixer(rings: Rings, silent: int | None = None) -> EngineMixer:
    return EngineMixer(SimpleNamespace(state=rings.state), 44100, 500, 1, silent)


def played(mixer: EngineMixer, count: int) -> np.ndarray:
    out = []
    for start in range(0, count, 500):
        frames = min(500, count - start)
        block, output = np.zeros((frames, 1), np.float32), np.full((frames, 1), np.nan, np.float32)
        call_mixer(mixer.state, block, output)
        out.append(output[:, 0])
    return np.concatenate(out)


def test_a_fade_out_is_for_good(rings):
    mixer = a_mixer(rings)
    np.testing.assert_array_equal(played(mixer, 100), 1)
    mixer.fade_out()
    assert not mixer.faded_out
    np.testing.assert_allclose(played(mixer, FADE), 1 - RISING, atol=1e-6)
    assert mixer.faded_out
    assert not played(mixer, 2 * FADE).any()


@pytest.mark.parametrize("silent", [1, 499, 500, 1111])
def test_what_fades_in_does_so_once_its_first_sound_is_there(rings, silent):
    mixer = a_mixer(rings, silent)
    output = played(mixer, silent + FADE + 100)
    assert not output[:silent].any()
    np.testing.assert_allclose(output[silent : silent + FADE], RISING, atol=1e-6)
    np.testing.assert_array_equal(output[silent + FADE :], 1)


def test_the_wait_for_the_first_sound_begins_when_there_is_something_to_play(rings):
    rings.state[layout.OUT_WRITE] = 0  # two clocks that have not found each other yet
    mixer = a_mixer(rings, 700)
    assert not played(mixer, 3000).any()
    rings.state[layout.OUT_WRITE] = 3000 + 200  # in the midst of the next call
    output = played(mixer, 500)
    assert not output.any()
    rings.state[layout.OUT_WRITE] = 1 << 40
    output = played(mixer, 700 + FADE)
    assert not output[:700].any()
    np.testing.assert_allclose(output[700:], RISING, atol=1e-6)


def test_a_fade_in_that_is_faded_out_is_silent_at_once(rings):
    mixer = a_mixer(rings, 700)
    assert not mixer.faded_out
    mixer.fade_out()
    assert not played(mixer, 500).any()
    assert mixer.faded_out
