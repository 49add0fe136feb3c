"""Stops of the whole process, as one of its threads notices them."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.audio import rings
from rtsep.audio.hoploop import note_stop
from rtsep.realtime import stops
from rtsep.realtime.stops import STOP_NS, STOP_S, Stops


def test_a_thread_that_looks_all_the_time_notices_that_it_stood_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(stops.time, "monotonic", lambda: now[0])
    watched = Stops()
    for passed in (0.02, 0.9 * STOP_S, 0.02):
        now[0] += passed
        assert watched.look() == 0.0
    now[0] += 10.0
    assert watched.look() == pytest.approx(10.0)
    assert watched.look() == 0.0


def test_the_hop_loop_adds_up_how_long_it_was_stopped() -> None:
    state = np.zeros(rings.STATE_SIZE, np.int64)
    now = state[rings.LOOKED_NS] = 5_000_000_000
    for passed in (100_000_000, STOP_NS, 8_000_000_000, 1_000_000, 2_000_000_000):
        now += passed
        note_stop(state, now)
    assert state[rings.STOPPED_NS] == 10_000_000_000
