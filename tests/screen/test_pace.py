"""Frames that a slow terminal cannot take are dropped, and drawn again as soon as it can."""

from __future__ import annotations

from rtsep.screen.pace import GIVEN_UP_S, PATIENCE_S, Pace

FRAME_S = 1 / 30


def test_a_terminal_that_answers_gets_every_frame():
    pace = Pace()
    for number in range(300):
        now = number * FRAME_S
        assert pace.may_draw(now)
        assert pace.wants_to_ask(now)
        pace.answer()
    assert pace.dropped == 0


def test_a_slow_terminal_gets_a_frame_an_answer():
    pace, drawn, answer_at = Pace(), 0, 0.0
    pace.wants_to_ask(0.0)
    pace.answer()
    for number in range(300):  # ten seconds; an answer takes one
        now = number * FRAME_S
        if answer_at and now >= answer_at:
            pace.answer()
            answer_at = 0.0
        if pace.may_draw(now):
            drawn += 1
            if pace.wants_to_ask(now):
                answer_at = now + 1.0
    patient = round(PATIENCE_S / FRAME_S) + 1
    assert 9 <= drawn <= 10 * patient + patient
    assert pace.dropped == 300 - drawn > 200


def test_one_that_never_answers_is_asked_no_more_and_gets_every_frame():
    pace = Pace()
    assert pace.wants_to_ask(0.0)
    frames = [number * FRAME_S for number in range(int(3 * GIVEN_UP_S / FRAME_S))]
    assert all(pace.may_draw(now) for now in frames)
    assert not any(pace.wants_to_ask(now) for now in frames)
    assert pace.dropped == 0


def test_a_lost_answer_holds_the_picture_up_for_a_moment_only():
    pace = Pace()
    pace.wants_to_ask(0.0)
    pace.answer()
    pace.wants_to_ask(1.0)
    assert not pace.may_draw(1.0 + 2 * PATIENCE_S)
    assert pace.may_draw(1.1 + GIVEN_UP_S)
    assert pace.wants_to_ask(1.1 + GIVEN_UP_S)  # it has answered before
