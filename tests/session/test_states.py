"""The states of a session: the table of transitions is walked, and it has no dead end but the end."""

from __future__ import annotations

import itertools

import pytest

from rtsep.session.states import ALLOWED, IllegalTransitionError, SessionState, transition


@pytest.mark.parametrize(("now", "to"), [*itertools.product(SessionState, SessionState)])
def test_a_transition_is_made_if_the_table_has_it_and_raises_if_not(now, to):
    if to in ALLOWED[now]:
        assert transition(now, to) is to
    else:
        with pytest.raises(IllegalTransitionError, match=f"that is {now} cannot become {to}"):
            transition(now, to)


def test_every_state_is_reached_from_the_start_and_leads_to_the_end():
    reached = {SessionState.STARTING}
    while more := set().union(*(ALLOWED[state] for state in reached)) - reached:
        reached |= more
    assert reached == set(SessionState)
    for state in SessionState:
        leads_to = {state}
        while more := set().union(*(ALLOWED[one] for one in leads_to)) - leads_to:
            leads_to |= more
        assert SessionState.ENDED in leads_to
    assert not ALLOWED[SessionState.ENDED]


def test_the_words_of_the_json_lines_stay():
    assert [str(state) for state in SessionState] == [
        "starting", "playing", "stopping", "opening", "waiting", "ended",
    ]  # fmt: skip
