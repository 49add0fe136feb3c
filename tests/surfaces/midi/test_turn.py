"""Knobs with two ends: soft take-over, ranges, bursts, 14 bits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.controls import MINUS_INFINITY_DB
from rtsep.surfaces.midi.messages import CC14, NRPN, encode
from tests.surfaces.midi.hands import OTHER, PORT, Rig, entry

# --- knobs and soft take-over -----------------------------------------------------------------------------


def test_a_knob_that_stands_at_its_control_turns_it():
    rig = Rig(entry("threshold")).turn(0, 64)
    assert rig.controls.threshold == pytest.approx(64 / 127)
    assert rig.controls.moved_by("threshold") == "MIDI"


def test_a_knob_elsewhere_moves_nothing_until_it_passes():
    rig = Rig(entry("threshold"))
    rig.controls.threshold = 0.5
    rig.turn(0, 20, 60)
    assert rig.controls.threshold == 0.5
    rig.turn(70)
    assert rig.controls.threshold == pytest.approx(70 / 127)


@pytest.mark.parametrize("values", [(100, 64), (10, 63), (63,), (64,)])
def test_meeting_is_enough(values):
    rig = Rig(entry("threshold"))
    rig.controls.threshold = 0.5
    rig.turn(*values, 65)
    assert rig.controls.threshold == pytest.approx(65 / 127)


@pytest.mark.parametrize("by", ["key", "API", "MIDI"])
def test_a_control_that_something_else_has_moved_is_met_anew(by):
    rig = Rig(entry("threshold")).turn(0, 64)
    rig.controls.set("threshold", 0.9, by)
    rig.turn(65, 66, 60)
    assert rig.controls.threshold == 0.9
    rig.turn(120)
    assert rig.controls.threshold == pytest.approx(120 / 127)


@given(st.lists(st.one_of(st.integers(0, 127), st.floats(0, 1)), max_size=60), st.booleans())
def test_under_take_over_a_knob_never_makes_a_control_jump_further_than_the_knob_went(moves, with_feedback):
    rig = Rig(entry("threshold"))
    stands = None
    for move in moves:
        before = rig.controls.threshold
        if isinstance(move, float):
            rig.controls.threshold = move
            if with_feedback:
                rig.tell()
            continue
        rig.turn(move)
        went = 0 if stands is None else abs(move - stands) / 127
        assert abs(rig.controls.threshold - before) <= max(went, 1 / 127) + 1 / 127 + 1e-9
        stands = move


def test_without_take_over_a_knob_is_heeded_at_once():
    rig = Rig(entry("threshold", takeover=False))
    rig.controls.threshold = 0.9
    rig.turn(10)
    assert rig.controls.threshold == pytest.approx(10 / 127)


def test_two_controllers_with_the_same_knob_do_not_take_it_from_each_other():
    rig = Rig(entry("threshold")).turn(0, 30)
    rig.turn(100, port=OTHER)
    assert rig.controls.threshold == pytest.approx(30 / 127)
    rig.turn(30, 40, port=OTHER)
    rig.turn(29)
    assert rig.controls.threshold == pytest.approx(40 / 127)


def test_a_controller_that_returns_meets_anew():
    rig = Rig(entry("threshold")).turn(0, 64)
    rig.hands.let_go(PORT)
    rig.turn(10, 9)
    assert rig.controls.threshold == pytest.approx(64 / 127)


def test_a_knob_that_says_what_is_does_not_round_it():
    rig = Rig(entry("threshold"))
    rig.controls.threshold = 0.401
    rig.turn(round(0.401 * 127))
    assert rig.controls.threshold == 0.401


def test_range_curve_and_inversion():
    rig = Rig(entry("threshold", range=(0.2, 0.6), invert=True, takeover=False))
    assert [rig.turn(v).controls.threshold for v in (127, 0)] == [0.2, 0.6]
    assert rig.turn(64).controls.threshold == pytest.approx(0.6 - 0.4 * 64 / 127)


def test_a_fader_finds_unity_exactly_and_silence():
    rig = Rig(entry("vocals_gain", takeover=False))
    values = [rig.turn(v).controls.vocals_gain for v in range(128)]
    assert values[0] == MINUS_INFINITY_DB
    assert values[127] == 12
    assert values.count(0.0) == 1
    assert values == sorted(values)


def test_a_burst_leaves_its_last_value_and_few_moves():
    rig = Rig(entry("threshold", takeover=False))
    rig.play(*[[0xB0, 1, v % 128] for v in range(10_000)], [0xB0, 1, 77])
    assert rig.controls.threshold == pytest.approx(77 / 127)
    assert rig.hands.moves == 1


@pytest.mark.parametrize("stands", [0.3, 0.9])
@given(st.lists(st.integers(0, 127), min_size=1, max_size=40), st.lists(st.integers(1, 9), min_size=1))
def test_what_comes_at_once_does_what_it_would_have_done_one_by_one(stands, values, batches):
    """A take-over in the middle of a burst is one, too."""
    one_by_one = Rig(entry("threshold"))
    at_once = Rig(entry("threshold"))
    for rig in (one_by_one, at_once):
        rig.controls.threshold = stands
    one_by_one.turn(*values)
    rest = [[0xB0, 1, value] for value in values]
    for size in [*batches, len(rest)]:
        at_once.play(*rest[:size])
        rest = rest[size:]
    assert at_once.controls.threshold == one_by_one.controls.threshold


def test_of_two_knobs_for_one_control_the_last_that_was_turned_counts():
    rig = Rig(entry("threshold", takeover=False), entry("threshold", number=2, takeover=False))
    rig.play([0xB0, 1, 10], [0xB0, 2, 20], [0xB0, 1, 30])
    assert rig.controls.threshold == pytest.approx(30 / 127)


def test_a_knob_that_is_turned_before_a_program_change_is_turned_before_it():
    rig = Rig(entry("threshold", takeover=False))
    rig.hands._on_program = lambda *_: rig.controls.set("threshold", 0.9, "preset")
    rig.play([0xB0, 1, 10], [0xC0, 5])
    assert rig.controls.threshold == 0.9
    rig.play([0xC0, 5], [0xB0, 1, 11])
    assert rig.controls.threshold == pytest.approx(11 / 127)


def test_fourteen_bits_and_nrpns_reach_every_step():
    for kind in (CC14, NRPN):
        rig = Rig(entry("threshold", kind, takeover=False))
        for value in (1, 8191, 16383, 0):
            rig.play(*encode(kind, 1, 1, value))
            assert rig.controls.threshold == pytest.approx(value / 16383)


def test_nrpn_increments():
    rig = Rig(entry("threshold", NRPN, 130, step=0.1))
    rig.play([0xB0, 99, 1], [0xB0, 98, 2], *[[0xB0, 96, 0]] * 4, [0xB0, 97, 0])
    assert rig.controls.threshold == pytest.approx(0.3)
