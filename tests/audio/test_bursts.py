"""Devices that call in bursts: measured as they call, and given the slack that they need, in place."""

from __future__ import annotations

import time

import numpy as np
import pytest

from rtsep.audio import bursts, rings
from rtsep.session.slack import DECIDED_AFTER_S, FIRST_WINDOWS, SlackLaw
from tests.audio.bench import Bench, noise, one_clock

RATE, BLOCK = 44100, 256
SECOND_NS = 1_000_000_000


def measured(burst: int, calls: int, late_ns: dict[int, int] | None = None, block: int = BLOCK) -> np.ndarray:
    """Return slots after `calls` calls that come `burst` at a time; some of them late."""
    state = np.zeros(bursts.STATE_SIZE, np.int64)
    for call in range(calls):
        time_ns = call // burst * burst * block * SECOND_NS // RATE + (late_ns or {}).get(call, 0)
        base = time_ns - call * block * SECOND_NS // RATE
        bursts.measure_call(state, 0, base, block, RATE)
    return state


@pytest.mark.parametrize("burst", [1, 2, 4, 8])
def test_the_spread_is_the_length_of_a_burst_less_a_call(burst):
    spread = bursts.read_spread(measured(burst, 400), 0, 8, 0.5)
    assert spread == pytest.approx((burst - 1) * BLOCK / RATE, abs=1e-6)


def test_nothing_is_said_before_enough_is_known_and_one_late_call_says_nothing():
    assert bursts.read_spread(measured(4, 20), 0, 8, 0.5) is None
    late = measured(1, 400, {390: SECOND_NS // 20})
    assert bursts.read_spread(late, 0, 8, 0.5) == pytest.approx(0, abs=1e-6)
    assert bursts.read_spread(late, 0, 8, 1.0) == pytest.approx(0.05, abs=1e-3)


def test_a_process_that_stood_still_has_had_no_burst():
    stops = {call: (call // 50) * 10 * SECOND_NS for call in range(400)}  # for 10 s, eight times
    assert bursts.read_spread(measured(1, 400, stops), 0, 8, 1.0) == pytest.approx(0, abs=1e-6)


def has_burst(bench: Bench, burst: int) -> None:
    """Put into the engine what bursts of `burst` calls leave there."""
    for at in (rings.OUT_BURSTS, rings.IN_BURSTS):
        bench.engine.state[at : at + bursts.STATE_SIZE] = measured(burst, 400)


def test_slack_is_whole_blocks():
    with Bench(one_clock(BLOCK), lambda number, column: 0.5) as bench:
        law, engine = SlackLaw(), bench.engine
        before, budget = engine.slack, engine.latency
        assert law.wanted(engine) is None  # nothing is known
        has_burst(bench, 4)
        wanted = law.wanted(engine)
        assert wanted == before + 3 * BLOCK
        engine.set_slack(wanted)
        assert (engine.slack, engine.latency.engine) == (wanted, budget.engine + 3 * BLOCK)
        assert engine.latency.total == budget.total + 3 * BLOCK
        has_burst(bench, 8)
        began = time.monotonic()
        assert law.wanted(engine, now=began) is None  # it plays well
        engine.state[rings.UNDERRUNS] += 1
        assert law.wanted(engine, now=began) is None  # the window with the fault is not complete
        assert law.wanted(engine, now=began + DECIDED_AFTER_S) == before + 7 * BLOCK


def test_even_calls_need_nothing():
    with Bench(one_clock(BLOCK), lambda number, column: 0.5) as bench:
        has_burst(bench, 1)
        assert SlackLaw().wanted(bench.engine) is None
        assert bench.engine.burst_frames(FIRST_WINDOWS, 0.5) == 0


def test_the_sound_is_later_by_the_slack_that_is_added_and_nothing_is_lost():
    """And as early as before, over a fade, once it is taken back."""
    signal, piece = noise(BLOCK * 300), BLOCK * 100
    with Bench(one_clock(BLOCK), lambda number, column: 0.5) as bench:
        before, slack = bench.engine.latency.total, bench.engine.slack
        played = [bench.play(signal[:piece])]
        bench.engine.set_slack(slack + 2 * BLOCK)
        after = bench.engine.latency.total
        played.append(bench.play(signal[piece : 2 * piece]))
        bench.engine.set_slack(slack)
        assert bench.engine.latency.total == before
        played.append(bench.play(signal[2 * piece :]))
        bench.engine.follow_blocks()
        assert bench.engine.latency.total == before
        assert bench.engine.counters()["underruns"] == 0
    assert after == before + 2 * BLOCK
    whole = np.concatenate(played)
    mixed = whole[:, :2] + whole[:, 2:]
    for start, late in ((0, before), (piece, after), (2 * piece, before)):
        where = slice(start + piece // 2, start + piece)  # long after the change
        source = signal[where.start - late : where.stop - late]
        np.testing.assert_allclose(mixed[where], source, rtol=0, atol=1.2e-7)
