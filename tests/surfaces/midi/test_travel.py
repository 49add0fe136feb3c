import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.controls import BY_NAME, CURVES, FADER_DB, MINUS_INFINITY_DB, TABLE, Controls, Travel

KNOBS = [control for control in TABLE if control.unit not in ("switch", "choice")]


def travels(control):
    inside = st.floats(control.minimum, control.maximum, allow_nan=False)
    ends = st.tuples(inside, inside).filter(
        lambda ends: ends[1] - ends[0] > 1e-3 and ends[1] > control.minimum
    )
    return st.builds(lambda ends, curve: Travel(control, *ends, curve), ends, st.sampled_from(CURVES))


@given(st.sampled_from(KNOBS).flatmap(travels), st.floats(0, 1), st.floats(0, 1))
def test_every_position_is_a_legal_value_and_higher_is_no_lower(travel, a, b):
    low, high = sorted((a, b))
    values = [travel.value(p) for p in (0.0, low, high, 1.0)]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (travel.low, travel.high)
    for value in values:
        assert travel.control.check(value) == value


@given(st.sampled_from(KNOBS).flatmap(travels), st.integers(0, 127))
def test_a_value_leads_back_to_its_position(travel, step):
    value = travel.value(step / 127)
    again = travel.value(travel.position(value))
    assert again == pytest.approx(value, rel=1e-6, abs=1e-6)


def test_a_fader_is_even_in_decibels_and_silent_at_its_end():
    fader = Travel.whole(BY_NAME["vocals_gain"])
    assert fader.value(0) == MINUS_INFINITY_DB
    assert fader.value(1) == 12
    assert fader.value(0.5) == pytest.approx(12 - FADER_DB / 2)
    assert fader.position(0) == pytest.approx(1 - 12 / FADER_DB)
    assert fader.position(-100) == 0


def test_a_fader_even_in_amplitude():
    fader = Travel(BY_NAME["vocals_gain"], MINUS_INFINITY_DB, 0, "lin")
    assert fader.value(0.5) == pytest.approx(20 * math.log10(0.5))
    assert fader.value(1e-12) == MINUS_INFINITY_DB
    assert fader.position(-6.0206) == pytest.approx(0.5, abs=1e-5)


def test_a_plain_control_in_decibels():
    knob = Travel(BY_NAME["threshold"], 0, 1, "dB")
    assert knob.value(0) == 0
    assert knob.value(0.5) == pytest.approx(10 ** (-FADER_DB / 40))
    assert Travel(BY_NAME["threshold"], 0.01, 1, "dB").value(0.5) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("position", "value"), [(0, 0), (0.49, 0), (0.5, 1), (0.9, 1), (1, 1), (7, 1), (-7, 0)]
)
def test_switches_and_choices_take_the_nearest(position, value):
    assert Travel.whole(BY_NAME["bypass"]).value(position) == value
    assert Travel.whole(BY_NAME["mask"]).value(position) == value


def test_who_moved_a_control_last_is_known():
    controls = Controls()
    assert controls.moved_by("threshold") == ""
    controls.threshold = 0.2
    assert controls.moved_by("threshold") == "API"
    controls.set("threshold", 0.3, "MIDI")
    assert (controls.threshold, controls.moved_by("threshold")) == (0.3, "MIDI")
    controls.set_text("threshold", "0.4", by="key")
    assert controls.moved_by("threshold") == "key"
    assert controls.moved_by("gate") == ""
