"""The effect of a signal on `rtsep live`, by the stage of its start."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest

from rtsep.cli.ending import Ending

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def ending():
    # If the tests run under nohup, SIGHUP is ignored, and rtsep does not change that.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield Ending()
    for number, handler in before.items():
        signal.signal(number, handler)


def session(state: str) -> SimpleNamespace:
    made = SimpleNamespace(state=state, ended=0)
    made.end = lambda: setattr(made, "ended", made.ended + 1)
    return made


@pytest.mark.parametrize("number", SIGNALS)
def test_while_it_gets_ready_the_first_one_interrupts_and_the_next_ones_leave_it_to_clear_up(ending, number):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    signal.raise_signal(number)


def test_while_its_devices_are_opened_it_ends_in_order_and_counts_as_interrupted(ending):
    opening = session("starting")
    with pytest.raises(KeyboardInterrupt), ending.in_order(opening):
        signal.raise_signal(signal.SIGINT)
        assert opening.ended == 1


class EndedWhileItIsAsked:
    """A session that a second signal ends, after the first signal has asked for its state."""

    def __init__(self) -> None:
        self._now = "starting"
        self._asked = False

    def end(self) -> None:
        self._now = "ended"

    @property
    def state(self) -> str:
        now = self._now
        if not self._asked:
            self._asked = True
            signal.raise_signal(signal.SIGTERM)
        return now


class EndedBeforeItAnswers(EndedWhileItIsAsked):
    """The same, where the second signal comes before the answer to the first is known."""

    @property
    def state(self) -> str:
        super().state  # noqa: B018 - the second signal comes in here
        return self._now


@pytest.mark.parametrize("kind", [EndedWhileItIsAsked, EndedBeforeItAnswers])
def test_a_second_signal_within_the_first_one_counts_as_interrupted_too(ending, kind):
    with pytest.raises(KeyboardInterrupt), ending.in_order(kind()):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("state", ["playing", "waiting"])
def test_once_it_has_played_it_ends_in_order(ending, state):
    playing = session(state)
    with ending.in_order(playing):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert playing.ended == 2


def test_where_hang_ups_are_ignored_they_stay_so(ending):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Ending()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
