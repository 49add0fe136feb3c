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


class Player:
    """An engine for the slack law: the test makes the calls, and a late one is a fault."""

    def __init__(self, max_s: float = 0.0) -> None:
        self.law, self.max_s = SlackLaw(), max_s
        self.state = np.zeros(bursts.STATE_SIZE, np.int64)
        self.slack, self.format = CHOSEN, SimpleNamespace(block=BLOCK, rate=RATE, out_rate=RATE)
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
    player = Player()
    player.play(1.5, bursty)
    assert player.slack == CHOSEN + 3 * BLOCK
    assert len(player.set_at) == 1
    assert player.set_at[0] < 1.1
    faults = player.faults
    player.play(60, bursty)
    assert (player.faults, len(player.set_at)) == (faults, 1)


def test_one_gap_is_chance():
    player = Player()
    player.play(100, gap(100, 0.05))
    assert player.faults > 0
    assert player.slack == CHOSEN


def test_a_second_gap_is_made_up_for_and_the_third_does_no_harm():
    player = Player()
    player.play(40, gap(20, 0.03))
    assert player.slack >= 0.03 * RATE
    faults = player.faults
    player.play(400, gap(20, 0.03))
    assert (player.faults, len(player.set_at)) == (faults, 1)


def test_gaps_that_are_far_between_stay_chances():
    player = Player()
    every = slack.GAP_MEMORY_S + 10
    player.play(3 * every, gap(every, 0.05))
    assert player.slack == CHOSEN


def test_of_two_gaps_the_shorter_one_counts():
    player = Player()
    player.play(20, gap(20, 0.3))
    player.play(20, gap(20, 0.03))
    assert 0.03 * RATE <= player.slack < 0.05 * RATE


def test_a_bound_of_the_latency_is_kept():
    player = Player(max_s=0.1)
    player.play(60, gap(10, 0.3))
    latency = player.latency
    assert 0.09 * RATE < latency.total - latency.algorithm <= 0.1 * RATE


@pytest.mark.parametrize("share", [1e-4, -1e-4, 5e-3])
def test_a_clock_that_drifts_needs_nothing(share):
    player = Player()
    player.play(30, lambda at: share * at)
    player.faults += 1
    player.play(30, lambda at: share * (at + 30))
    assert player.slack == CHOSEN


def test_what_nothing_has_needed_for_long_is_taken_back():
    player = Player()
    player.play(5, bursty)
    assert player.slack > CHOSEN
    player.play(slack.LOWERED_AFTER_S - 20)
    assert player.slack > CHOSEN
    player.play(40)
    assert player.slack == CHOSEN
    player.play(2 * slack.LOWERED_AFTER_S)
    assert (player.slack, len(player.set_at)) == (CHOSEN, 2)


def test_what_is_needed_at_times_is_kept():
    player = Player()
    player.play(40, gap(20, 0.03))
    player.play(2 * slack.LOWERED_AFTER_S, gap(300, 0.03))
    assert player.slack >= 0.03 * RATE


def test_what_was_missed_after_it_was_taken_back_is_kept_for_longer():
    player = Player()
    player.play(5, bursty)
    player.play(slack.LOWERED_AFTER_S + 20)
    assert player.slack == CHOSEN
    player.play(60, lambda at: bursty(at) if at < 5 else 0.0)
    assert player.slack > CHOSEN
    player.play(slack.LOWERED_AFTER_S + 20)
    assert player.slack > CHOSEN
    player.play(slack.LOWERED_AFTER_S)
    assert player.slack == CHOSEN
