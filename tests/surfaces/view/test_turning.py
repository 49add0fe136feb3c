"""Steps of a key: onto round values, to both ends, never beyond."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.controls import BY_NAME, MINUS_INFINITY_DB, TABLE
from rtsep.surfaces.view.turning import LETTERS, at_tenth, nearest, shown, stepped, toggled

GAIN, THRESHOLD, SMOOTHING = BY_NAME["vocals_gain"], BY_NAME["threshold"], BY_NAME["smoothing"]


@pytest.mark.parametrize(
    ("control", "value", "steps", "fine", "expected"),
    [
        (THRESHOLD, 0.0, 1, False, 0.05),
        (THRESHOLD, 0.42, 1, False, 0.45),
        (THRESHOLD, 0.42, -1, False, 0.4),
        (THRESHOLD, 0.42, 1, True, 0.43),
        (THRESHOLD, 1.0, 1, False, 1.0),
        (THRESHOLD, 0.0, -1, True, 0.0),
        (SMOOTHING, 20, 1, False, 25),
        (GAIN, 0.0, -1, False, -1.0),
        (GAIN, -6.3, 1, False, -6.0),
        (GAIN, -6.0, 1, True, -5.9),
        (GAIN, 11.5, 1, False, 12.0),
        (GAIN, -60.0, -1, False, MINUS_INFINITY_DB),
        (GAIN, -59.95, -1, True, -60.0),
        (GAIN, MINUS_INFINITY_DB, 1, False, -60.0),
        (GAIN, MINUS_INFINITY_DB, -1, False, MINUS_INFINITY_DB),
        (GAIN, -100.0, 1, True, -60.0),
        (BY_NAME["mask"], 0, 1, False, 1),
        (BY_NAME["bypass"], 1, 1, False, 1),
    ],
)
def test_steps(control, value, steps, fine, expected):
    assert stepped(control, value, steps, fine) == pytest.approx(expected, abs=1e-9)


@given(st.sampled_from(TABLE), st.data())
def test_every_step_is_allowed_and_goes_the_way_it_was_sent(control, data):
    value = data.draw(st.floats(control.minimum, control.maximum))
    if control.unit in ("switch", "choice"):
        value = round(value)
    for steps in (-1, 1):
        for fine in (False, True):
            moved = stepped(control, value, steps, fine)
            assert control.check(moved) == moved
            assert (moved - value) * steps > 0 or moved in (control.minimum, control.maximum)


@given(st.sampled_from(TABLE), st.integers(0, 9))
def test_tenths_are_allowed(control, digit):
    assert control.check(at_tenth(control, digit)) is not None


def test_tenths_and_ends():
    assert [at_tenth(THRESHOLD, d) for d in (0, 3, 9)] == [0, 0.3, 0.9]
    assert at_tenth(GAIN, 0) == MINUS_INFINITY_DB
    assert at_tenth(GAIN, 5) == -24.0
    assert nearest(SMOOTHING, 33.3333) == 33


def test_toggles():
    assert toggled(BY_NAME["bypass"], 0) == 1
    assert toggled(BY_NAME["mask"], 1) == 0
    assert toggled(GAIN, -3.0) == 0.0
    assert set(LETTERS.values()) <= set(BY_NAME)


def test_values_as_they_are_read():
    assert shown(GAIN, MINUS_INFINITY_DB) == "-inf dB"
    assert shown(GAIN, -0.01) == "0.0 dB"
    assert shown(GAIN, 3.0) == "+3.0 dB"
    assert shown(SMOOTHING, 20) == "20 ms"
    assert shown(BY_NAME["mask"], 1) == "binary"
    assert shown(BY_NAME["bypass"], 1) == "on"
