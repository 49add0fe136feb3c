"""Feedback of the controls to controllers."""

import math

import pytest

from rtsep.surfaces.midi.messages import CC, CC14, NOTE
from tests.surfaces.midi.hands import OTHER, Rig, entry, press, release


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


def test_feedback_goes_to_the_channel_of_the_received_message():
    rig = Rig(entry("bypass", NOTE), entry("gate", channel=9))
    rig.play([0x94, 1, 100])
    assert rig.tell() == [[0x94, 1, 127], [0xB8, 1, 0]]
