"""Endless knobs, buttons, and what is whose."""

import pytest

from rtsep.controls import MINUS_INFINITY_DB
from rtsep.surfaces.midi.map import (
    DEFAULT_ENTRIES,
    ENCODERS,
    LATCHED,
    MOMENTARY,
    TOGGLE,
)
from rtsep.surfaces.midi.messages import NOTE
from rtsep.surfaces.midi.turn import clicks
from tests.surfaces.midi.hands import OTHER, PORT, Rig, entry, press, release

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
