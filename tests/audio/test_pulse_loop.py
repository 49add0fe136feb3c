"""The pace of playback on a PulseAudio server: what it holds ready through stalls, and on a coarse device."""

from __future__ import annotations

import pytest

pulse_loop = pytest.importorskip("rtsep.audio.pulse_loop", reason="needs libpulse", exc_type=Exception)

MARGIN, ROOM = 1058, 2205 - 256
USUAL = 800


def test_the_margin_is_held_where_it_fits():
    assert pulse_loop.lowest_fill(MARGIN, ROOM, USUAL, (USUAL, USUAL, USUAL)) == MARGIN


@pytest.mark.parametrize("stalled", range(4))
def test_a_window_with_a_stall_takes_nothing_of_it(stalled):
    spans = [1900 if k == stalled else USUAL for k in range(4)]
    assert pulse_loop.lowest_fill(MARGIN, ROOM, spans[0], tuple(spans[1:])) == MARGIN


def test_a_device_that_always_takes_much_at_once_gets_less_than_the_margin():
    assert pulse_loop.lowest_fill(MARGIN, ROOM, 1500, (1600, 1550, 1500)) == ROOM - 1500
