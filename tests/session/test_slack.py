"""The law of slack, on call times as sound servers make them: bursts, rare gaps, clocks that drift."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from rtsep.audio import bursts
from rtsep.audio.latency_budget import LatencyBudget
from rtsep.session import slack
from rtsep.session.slack import SlackLaw

RATE, BLOCK = 44100, 256
CALL_S = BLOCK / RATE
CHOSEN = 2 * BLOCK
OTHERS = 5 * BLOCK  # frames that device and distance add besides
LOOK_CALLS = 4  # calls between two looks of the session


class Desk:
    """An engine, as far as the law sees it: called when a test says, with a fault where that is too late."""

    def __init__(self, max_s: float = 0.0) -> None:
        self.law, self.max_s = SlackLaw(), max_s
        self.state = np.zeros(bursts.STATE_SIZE, np.int64)
        self.slack, self.format = CHOSEN, SimpleNamespace(block=BLOCK)
        self.calls = self.faults = 0
        self.set_at: list[float] = []

    @property
    def latency(self) -> LatencyBudget:
        return LatencyBudget(RATE, algorithm=512, engine=self.slack, device=OTHERS)

    @property
    def now(self) -> float:
        return self.calls * CALL_S

    def counters(self) -> dict[str, int]:
        return {"underruns": self.faults, "late_masks": 0}

    def burst_frames(self, windows: int, share: float) -> int | None:
        spread = bursts.read_spread(self.state, 0, windows, share)
        if spread is None:
            return None
        return round(spread * RATE) if spread > CALL_S else 0

    def play(self, seconds: float, late_s: Callable[[float], float] = lambda at: 0.0) -> None:
        """Be called for `seconds`; the call that is due `at` seconds after now comes `late_s(at)` later."""
        for number in range(round(seconds / CALL_S)):
            late = late_s(number * CALL_S)
            bursts.measure_call(self.state, 0, round(1e9 * late), BLOCK, RATE)
            self.calls += 1
            self.faults += late * RATE > self.slack
            if self.calls % LOOK_CALLS == 0:
                wanted = self.law.wanted(self, self.max_s, self.now)
                if wanted is not None:
                    self.slack = wanted
                    self.set_at.append(self.now)


def gap(every_s: float, long_s: float) -> Callable[[float], float]:
    """One gap every so often, somewhere in the middle; what was held up by it comes at once after it."""
    return lambda at: max(0.0, long_s - (at + every_s / 2) % every_s)


def bursty(at: float) -> float:
    """Four calls at a time."""
    return 3 * CALL_S - round(at / CALL_S) % 4 * CALL_S


def test_bursts_are_the_rule_and_found_in_the_first_second():
    desk = Desk()
    desk.play(1.5, bursty)
    assert desk.slack == CHOSEN + 3 * BLOCK
    assert len(desk.set_at) == 1
    assert desk.set_at[0] < 1.1
    faults = desk.faults
    desk.play(60, bursty)
    assert (desk.faults, len(desk.set_at)) == (faults, 1)


def test_one_gap_is_chance():
    desk = Desk()
    desk.play(100, gap(100, 0.05))
    assert desk.faults > 0
    assert desk.slack == CHOSEN


def test_a_second_gap_is_made_up_for_and_the_third_does_no_harm():
    desk = Desk()
    desk.play(40, gap(20, 0.03))
    assert desk.slack >= 0.03 * RATE
    faults = desk.faults
    desk.play(400, gap(20, 0.03))
    assert (desk.faults, len(desk.set_at)) == (faults, 1)


def test_gaps_that_are_far_between_stay_chances():
    desk = Desk()
    every = slack.GAP_MEMORY_S + 10
    desk.play(3 * every, gap(every, 0.05))
    assert desk.slack == CHOSEN


def test_of_two_gaps_the_shorter_one_counts():
    desk = Desk()
    desk.play(20, gap(20, 0.3))
    desk.play(20, gap(20, 0.03))
    assert 0.03 * RATE <= desk.slack < 0.05 * RATE


def test_a_bound_of_the_latency_is_kept():
    desk = Desk(max_s=0.1)
    desk.play(60, gap(10, 0.3))
    latency = desk.latency
    assert 0.09 * RATE < latency.total - latency.algorithm <= 0.1 * RATE


@pytest.mark.parametrize("share", [1e-4, -1e-4, 5e-3])
def test_a_clock_that_drifts_needs_nothing(share):
    desk = Desk()
    desk.play(30, lambda at: share * at)
    desk.faults += 1
    desk.play(30, lambda at: share * (at + 30))
    assert desk.slack == CHOSEN


def test_what_nothing_has_needed_for_long_is_taken_back():
    desk = Desk()
    desk.play(5, bursty)
    assert desk.slack > CHOSEN
    desk.play(slack.LOWERED_AFTER_S - 20)
    assert desk.slack > CHOSEN
    desk.play(40)
    assert desk.slack == CHOSEN
    desk.play(2 * slack.LOWERED_AFTER_S)
    assert (desk.slack, len(desk.set_at)) == (CHOSEN, 2)


def test_what_is_needed_at_times_is_kept():
    desk = Desk()
    desk.play(40, gap(20, 0.03))
    desk.play(2 * slack.LOWERED_AFTER_S, gap(300, 0.03))
    assert desk.slack >= 0.03 * RATE


def test_what_was_missed_after_it_was_taken_back_is_kept_for_longer():
    desk = Desk()
    desk.play(5, bursty)
    desk.play(slack.LOWERED_AFTER_S + 20)
    assert desk.slack == CHOSEN
    desk.play(60, lambda at: bursty(at) if at < 5 else 0.0)
    assert desk.slack > CHOSEN
    desk.play(slack.LOWERED_AFTER_S + 20)
    assert desk.slack > CHOSEN
    desk.play(slack.LOWERED_AFTER_S)
    assert desk.slack == CHOSEN
