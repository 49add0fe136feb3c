"""What a hand on a controller does to the controls, and what the controller is told."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.controls import BY_NAME, MINUS_INFINITY_DB, Controls, Travel
from rtsep.surfaces.midi.feedback import Feedback
from rtsep.surfaces.midi.map import (
    DEFAULT_ENTRIES,
    ENCODERS,
    KNOB,
    LATCHED,
    MOMENTARY,
    TOGGLE,
    Entry,
    MidiMap,
)
from rtsep.surfaces.midi.messages import CC, CC14, NOTE, NRPN, Decoder, encode
from rtsep.surfaces.midi.turn import Hands, clicks

PORT, OTHER = 0, 1


class Rig:
    """Controls, a map, and hands on two ports."""

    def __init__(self, *entries, **options):
        self.controls = Controls()
        self.programs = []
        self.hands = Hands(
            MidiMap(entries, **options), self.controls, lambda *program: self.programs.append(program)
        )
        self.told = []
        self.feedback = Feedback(self.hands.knobs, lambda port, messages: self.told.extend(messages))
        self._decoders = {PORT: Decoder(), OTHER: Decoder()}

    def play(self, *messages, port=PORT, name="pad"):
        events = [event for message in messages for event in self._decoders[port].feed(message)]
        self.hands.take(events, port, name)
        return self

    def turn(self, *values, number=1, port=PORT):
        for value in values:
            self.play([0xB0, number, value], port=port)
        return self

    def tell(self):
        self.told.clear()
        self.feedback.update({PORT: "pad"})
        return list(self.told)


def entry(name, kind=CC, number=1, **settings):
    control = BY_NAME[name]
    travel = Travel.whole(control)
    if "range" in settings:
        travel = replace(travel, low=settings["range"][0], high=settings.pop("range")[1])
    mode = TOGGLE if control.unit in ("switch", "choice") else KNOB
    return Entry(control, kind, number, travel, **{"mode": mode} | settings)


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


# --- endless knobs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoder", "bytes_of"),
    [
        ("twos-complement", {1: 1, 3: 3, -1: 127, -3: 125}),
        ("offset", {1: 65, 3: 67, -1: 63, -3: 61}),
        ("sign-magnitude", {1: 1, 3: 3, -1: 65, -3: 67}),
    ],
)
def test_endless_knobs(encoder, bytes_of):
    assert encoder in ENCODERS
    rig = Rig(entry("threshold", encoder=encoder, step=0.1))
    for count, byte in bytes_of.items():
        assert clicks(encoder, byte) == count
    rig.controls.threshold = 0.5
    assert rig.turn(bytes_of[3]).controls.threshold == pytest.approx(0.8)
    assert rig.turn(bytes_of[-1]).controls.threshold == pytest.approx(0.7)
    assert rig.turn(*[bytes_of[-3]] * 5).controls.threshold == 0
    assert rig.turn(bytes_of[1]).controls.threshold == pytest.approx(0.1)


def test_an_endless_knob_goes_on_from_wherever_the_control_is():
    rig = Rig(entry("vocals_gain", encoder="twos-complement", step=1 / 72)).turn(1)
    assert rig.controls.vocals_gain == pytest.approx(1)
    rig.controls.vocals_gain = -20
    assert rig.turn(127).controls.vocals_gain == pytest.approx(-21)


def test_an_endless_knob_finds_unity_exactly():
    rig = Rig(entry("vocals_gain", encoder="twos-complement", step=0.01))
    gains = [rig.turn(127).controls.vocals_gain for _ in range(200)]
    assert gains[-1] == MINUS_INFINITY_DB
    gains = [rig.turn(1).controls.vocals_gain for _ in range(200)]
    assert gains.count(0.0) == 1
    assert gains[-1] == 12


def test_an_endless_knob_counts_in_a_burst_as_well():
    rig = Rig(entry("threshold", encoder="twos-complement", step=0.01))
    rig.play(*[[0xB0, 1, 1]] * 50)
    assert rig.controls.threshold == pytest.approx(0.5)


# --- buttons ----------------------------------------------------------------------------------------------


def press(rig, velocity=100, number=1, port=PORT):
    return rig.play([0x90, number, velocity], port=port)


def release(rig, number=1):
    return rig.play([0x80, number, 0])


def test_toggle():
    rig = Rig(entry("bypass", NOTE))
    seen = [(press(rig).controls.bypass, release(rig).controls.bypass) for _ in range(3)]
    assert seen == [(1, 1), (0, 0), (1, 1)]


@pytest.mark.parametrize(
    ("values", "presses"),
    [((127, 0, 127, 0, 127), 3), ((127, 127, 127), 3), ((10, 40, 63, 64, 80, 127, 80, 20, 64), 2), ((0,), 0)],
)
def test_toggle_by_a_controller_that_is_released_or_not_and_by_a_knob_that_passes_the_middle(values, presses):
    rig = Rig(entry("bypass")).turn(*values)
    assert rig.hands.moves == presses


@pytest.mark.parametrize("invert", [False, True])
def test_momentary(invert):
    rig = Rig(entry("bypass", NOTE, mode=MOMENTARY, invert=invert))
    assert [press(rig).controls.bypass, release(rig).controls.bypass] == [not invert, invert]


def test_a_pad_that_is_held_when_its_controller_leaves_lets_go_and_a_latched_one_stays():
    rig = Rig(entry("bypass", NOTE, mode=MOMENTARY), entry("vocals_mute", NOTE, 2, mode=LATCHED))
    press(press(rig), number=2)
    rig.hands.let_go(OTHER)
    assert rig.controls.bypass == 1
    rig.hands.let_go(PORT)
    assert (rig.controls.bypass, rig.controls.vocals_mute) == (0, 1)


def test_latched_follows_the_button():
    rig = Rig(entry("bypass", mode=LATCHED))
    assert [rig.turn(v).controls.bypass for v in (127, 127, 0, 64, 63)] == [1, 1, 0, 1, 0]


def test_a_choice_goes_round_and_a_button_on_a_knob_jumps_between_its_ends():
    rig = Rig(entry("mask", NOTE), entry("threshold", NOTE, 2, mode=TOGGLE, range=(0.1, 0.7)))
    assert [press(rig).controls.mask for _ in range(3)] == [1, 0, 1]
    assert [press(rig, number=2).controls.threshold for _ in range(3)] == [0.7, 0.1, 0.7]


# --- what is whose ----------------------------------------------------------------------------------------


def test_channels_and_ports_are_filters():
    rig = Rig(entry("bypass", NOTE, channel=3), entry("vocals_mute", NOTE, 2, port="PAD"))
    rig.play([0x90, 1, 1])
    rig.play([0x90, 2, 1], name="keys")
    assert rig.controls.bypass == rig.controls.vocals_mute == 0
    rig.play([0x92, 1, 1], [0x90, 2, 1], name="launchpad")
    assert rig.controls.bypass == rig.controls.vocals_mute == 1


def test_programs_go_to_whom_they_concern():
    rig = Rig().play([0xC0, 5], [0xCF, 127])
    assert rig.programs == [(5, 1), (127, 16)]
    assert Rig(channel=2).play([0xC0, 5], [0xC1, 6]).programs == [(6, 2)]


def test_one_knob_may_turn_two_controls():
    rig = Rig(entry("threshold", takeover=False), entry("gate", takeover=False)).turn(127)
    assert rig.controls.threshold == rig.controls.gate == 1


def test_the_default_map_needs_no_file():
    rig = Rig(*DEFAULT_ENTRIES).turn(0, 127).turn(106, 0, number=7).turn(106, 127, number=8)
    for note in range(36, 41):
        press(rig, number=note)
    values = rig.controls.snapshot()
    assert values["threshold"] == 1
    assert (values["vocals_gain"], values["instrumental_gain"]) == (MINUS_INFINITY_DB, 12)
    for name in ("vocals_mute", "instrumental_mute", "vocals_solo", "instrumental_solo", "bypass"):
        assert values[name] == 1


# --- feedback ---------------------------------------------------------------------------------------------


def test_a_controller_is_first_told_where_everything_stands_and_then_what_changes():
    rig = Rig(entry("threshold"), entry("bypass", NOTE, 40), entry("blend", CC14, 3))
    assert rig.tell() == [[0xB0, 1, 0], [0x90, 40, 0], [0xB0, 3, 127], [0xB0, 35, 127]]
    assert rig.tell() == []
    rig.controls.threshold = 0.5
    rig.controls.bypass = 1
    assert rig.tell() == [[0xB0, 1, 64], [0x90, 40, 127]]
    assert rig.tell() == []


def test_a_knob_is_not_told_what_it_said_but_the_other_one_is():
    rig = Rig(entry("threshold", channel=None))
    rig.tell()
    rig.turn(0, 64)
    assert rig.tell() == []
    rig.feedback.update({OTHER: "motors"})
    assert rig.told == [[0xB0, 1, 64]]


def test_a_toggle_is_told_its_light_after_every_press():
    rig = Rig(entry("bypass", NOTE))
    rig.tell()
    assert release(press(rig)).tell() == [[0x90, 1, 127]]
    assert release(press(rig)).tell() == [[0x90, 1, 0]]


def test_a_port_that_sends_back_all_that_it_is_told_does_not_go_round_in_circles():
    rig = Rig(entry("threshold"), entry("bypass", NOTE, 40), entry("vocals_gain", CC, 7))
    rig.controls.threshold, rig.controls.vocals_gain, rig.controls.bypass = 0.401, -7.13, 1
    before, rounds = rig.controls.snapshot(), 0
    while (told := rig.tell()) and rounds < 10:
        rounds += 1
        rig.play(*told)
    assert rounds <= 2
    assert rig.controls.snapshot() == before


def test_inverted_and_endless_knobs_are_shown_where_they_stand():
    rig = Rig(entry("threshold", invert=True), entry("gate", CC, 2, encoder="offset", step=0.5))
    rig.tell()
    rig.controls.threshold = 0.25
    rig.turn(65, number=2)
    assert rig.tell() == [[0xB0, 1, math.floor(0.75 * 127 + 0.5)], [0xB0, 2, 64]]


def test_a_motor_fader_that_was_told_where_to_stand_is_heeded_from_there():
    rig = Rig(entry("threshold")).turn(0, 20)
    rig.tell()
    rig.controls.threshold = 0.8  # a preset; the motor drives there
    rig.tell()
    rig.turn(97, 92)  # a quick hand takes it on, from 102 on
    assert rig.controls.threshold == pytest.approx(92 / 127)


def test_a_fader_without_a_motor_stands_where_it_was_and_is_met():
    rig = Rig(entry("threshold")).turn(0, 20)
    rig.tell()
    rig.controls.threshold = 0.8
    rig.tell()
    rig.turn(22, 40, 97)
    assert rig.controls.threshold == 0.8
    rig.turn(104)
    assert rig.controls.threshold == pytest.approx(104 / 127)


def test_each_controller_is_told_on_its_own_channel():
    rig = Rig(entry("bypass", NOTE))
    rig.play([0x94, 1, 100])
    rig.play([0x97, 1, 100], port=OTHER, name="other")
    rig.tell()
    assert rig.told == [[0x94, 1, 0]]
    rig.told.clear()
    rig.feedback.update({OTHER: "other"})
    assert rig.told == [[0x97, 1, 0]]


def test_feedback_goes_to_the_channel_that_was_heard():
    rig = Rig(entry("bypass", NOTE), entry("gate", channel=9))
    rig.play([0x94, 1, 100])
    assert rig.tell() == [[0x94, 1, 127], [0xB8, 1, 0]]
