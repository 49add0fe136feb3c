"""The main job on a JACK server: both stems come back, and add up to the input at the reported delay."""

from __future__ import annotations

import numpy as np
import pytest

from tests.e2e.exact import SUM_TOLERANCE, assert_equal, music, noise, rms

pytestmark = pytest.mark.jack

FRAMES = 60_000
AUDIBLE = 0.05
"""Share of the input's level that a stem of music with voice must have: 26 dB under the mix."""


@pytest.mark.parametrize(
    ("period", "rate"), [(64, 44100), (128, 44100), (256, 44100), (1024, 44100), (256, 48000), (96, 48000)]
)
def test_the_stems_of_noise_and_music_add_up_to_the_input(start_rig, period, rate):
    rig = start_rig("--out", "both", period=period, rate=rate)
    assert rig.line["rate"] == rate
    assert rig.line["block"] == period
    rig.patch()
    # As loud as the music: the input of the net is relative to the level of the last seconds.
    played = np.concatenate([np.float32(0.2) * noise(FRAMES // 2), music(FRAMES)])
    take = rig.play(played)
    vocals, instrumental = take.sound[:, :2], take.sound[:, 2:]
    assert_equal(vocals + instrumental, rig.expected(played, take), SUM_TOLERANCE, "vocals + instrumental")
    audible = slice(rig.latency + FRAMES // 2, None)  # the music
    assert rms(vocals[audible]) > AUDIBLE * rms(music(FRAMES))
    assert rms(instrumental[audible]) > AUDIBLE * rms(music(FRAMES))
    assert np.abs(vocals[:, 0] - vocals[:, 1]).max() > 0  # two channels, not one twice
    final = rig.live.end()
    assert final["state"] == "ended"
    assert final["hops"] > FRAMES / 256


def test_a_foretold_mask_gives_the_foretold_stems(start_rig, half_model):
    rig = start_rig("--out", "both", "--model", half_model, period=128)
    rig.patch()
    played = music(FRAMES)
    take = rig.play(played)
    expected = rig.expected(played, take)
    # Half a spectrum is half the signal within what analysis and synthesis reconstruct: -120 dB of its peak.
    assert_equal(take.sound[:, :2], 0.5 * expected, 1e-6, "vocals")
    assert_equal(take.sound[:, 2:], 0.5 * expected, 1e-6, "instrumental")
    assert_equal(take.sound[:, :2] + take.sound[:, 2:], expected, SUM_TOLERANCE, "vocals + instrumental")
