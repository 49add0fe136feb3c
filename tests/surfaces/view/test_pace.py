"""Frames that a slow terminal cannot take are dropped, and drawn again as soon as it can."""

from __future__ import annotations

import itertools

import pytest

from rtsep.surfaces.view.pace import GIVEN_UP_S, PATIENCE_S, UNKNOWN_S, Pace

FRAME_S = 1 / 30


def test_a_terminal_that_answers_gets_every_frame():
    pace = Pace()
    pace.request_due(-FRAME_S)
    pace.answer()
    for number in range(300):
        now = number * FRAME_S
        assert pace.may_draw(now)
        assert pace.request_due(now)
        pace.answer()
    assert pace.dropped == 0


def test_a_slow_terminal_gets_a_frame_an_answer():
    pace, drawn, answer_at = Pace(), 0, 0.0
    pace.request_due(0.0)
    pace.answer()
    for number in range(300):  # ten seconds; an answer takes one
        now = number * FRAME_S
        if answer_at and now >= answer_at:
            pace.answer()
            answer_at = 0.0
        if pace.may_draw(now):
            drawn += 1
            if pace.request_due(now):
                answer_at = now + 1.0
    patient = round(PATIENCE_S / FRAME_S) + 1
    assert 9 <= drawn <= 10 * patient + patient
    assert pace.dropped == 300 - drawn > 200


def test_before_the_first_answer_frames_are_few():
    """The first picture is the largest one; on a thin line its answer takes long."""
    pace, drawn = Pace(), 0
    pace.request_due(0.0)
    for number in range(60):
        drawn += pace.may_draw(number * FRAME_S)
    assert drawn == pytest.approx(2.0 / UNKNOWN_S, abs=6)
    pace.answer()
    assert all(pace.may_draw(2.0 + number * FRAME_S) for number in range(30))


def test_one_that_never_answers_is_asked_no_more_and_gets_some_frames_always():
    pace = Pace()
    assert pace.request_due(0.0)
    frames = [number * FRAME_S for number in range(int(3 * GIVEN_UP_S / FRAME_S))]
    drawn = [now for now in frames if pace.may_draw(now)]
    assert all(b - a < UNKNOWN_S + 2 * FRAME_S for a, b in itertools.pairwise(drawn))
    assert not any(pace.request_due(now) for now in frames)


def test_a_lost_answer_holds_the_picture_up_for_a_moment_only():
    pace = Pace()
    pace.request_due(0.0)
    pace.answer()
    pace.request_due(1.0)
    assert not pace.may_draw(1.0 + 2 * PATIENCE_S)
    assert pace.may_draw(1.1 + GIVEN_UP_S)
    assert pace.request_due(1.1 + GIVEN_UP_S)  # it has answered before
