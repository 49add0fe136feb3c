"""The measure of the PulseAudio tests: the share of a recording that lies in the sound that was played."""

from __future__ import annotations

import numpy as np
import pytest

from tests.e2e.exact import noise
from tests.e2e.pulseserver import RATE, share_found

SOUND = noise(RATE * 6)
PIECES = 30
WANTED = SOUND[RATE : RATE + PIECES * (RATE // 10) + 1]


def test_a_recording_without_a_gap_is_found_whole():
    assert share_found(WANTED, SOUND) == 1


@pytest.mark.parametrize("frames", [1, 274, 30_000])
def test_silence_that_was_added_costs_the_pieces_that_hold_it(frames):
    added = np.concatenate([WANTED[:50_000], np.zeros((frames, 2), np.float32), WANTED[50_000:]])[
        : len(WANTED)
    ]
    assert share_found(added, SOUND) >= 1 - (2 + frames * 10 / RATE) / PIECES


@pytest.mark.parametrize("frames", [1, 274, 30_000])
def test_frames_that_were_lost_cost_the_pieces_that_miss_them(frames):
    lost = np.concatenate([SOUND[RATE : RATE + 50_000], SOUND[RATE + 50_000 + frames :]])[: len(WANTED)]
    assert share_found(lost, SOUND) >= 1 - 1 / PIECES


def test_another_sound_is_not_found():
    assert share_found(0.99 * WANTED, SOUND) == 0
