import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.surfaces.midi.messages import (
    CC,
    CC14,
    NOTE,
    NRPN,
    NRPN_STEP,
    PROGRAM,
    Decoder,
    Event,
    encode,
    note_name,
)


def decode(*messages, settle=False):
    decoder = Decoder()
    events = [event for message in messages for event in decoder.feed(message)]
    return events + (decoder.settle() if settle else [])


def of_kind(kind, events):
    return [event for event in events if event.kind == kind]


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ([0xB0, 70, 5], Event(CC, 1, 70, 5)),
        ([0xBF, 127, 127], Event(CC, 16, 127, 127)),
        ([0x93, 60, 1], Event(NOTE, 4, 60, 1)),
        ([0x93, 60, 0], Event(NOTE, 4, 60, 0)),
        ([0x83, 60, 64], Event(NOTE, 4, 60, 0)),
        ([0xC2, 7], Event(PROGRAM, 3, 7, 0)),
    ],
)
def test_plain_messages(message, event):
    assert decode(message) == [event]


@pytest.mark.parametrize(
    "message",
    [
        [],
        [0xF8],
        [0xFE],
        [0xFF],
        [0xFA],
        [0xF0, 1, 2, 0xF7],
        [0xE0, 0, 64],
        [0xD0, 5],
        [0xA0, 60, 5],
        [0xB0, 1],
        [0x90],
        [0xC0, 1, 2],
        [0x90, 0, 128],
        [0xB0, 255, 0],
        [1, 2, 3],
    ],
    ids=str,
)
def test_what_moves_nothing_makes_no_event(message):
    assert decode(message) == []


@given(st.lists(st.lists(st.integers(0, 255), max_size=5), max_size=50))
def test_any_bytes_are_survived(messages):
    for event in decode(*messages, settle=True):
        assert 1 <= event.channel <= 16
        assert event.kind == NRPN_STEP or 0 <= event.value <= event.max_value


def test_a_pair_is_one_value_and_never_falls_through_its_coarse_step():
    decoder = Decoder()
    values = []
    for value in (5000, 8193, 8192, 8191, 8190, 8064, 8063):
        for message in encode(CC14, 2, 7, value):
            values += [
                (e.value, e.max_value) for e in of_kind(CC14, decoder.feed(message)) if e.max_value > 127
            ]
    assert values == [(v, 16383) for v in (5000, 8193, 8192, 8191, 8190, 8064, 8063)]


def test_a_fine_step_alone_keeps_the_coarse_one():
    events = of_kind(CC14, decode([0xB0, 7, 64], [0xB0, 39, 3], [0xB0, 39, 4]))
    assert events[-2:] == [Event(CC14, 1, 7, 64 * 128 + 3, 16383), Event(CC14, 1, 7, 64 * 128 + 4, 16383)]


def test_a_sender_without_fine_steps_acts_at_once_and_reaches_both_ends():
    events = of_kind(CC14, decode([0xB0, 7, 0], [0xB0, 7, 127]))
    assert events == [Event(CC14, 1, 7, 0), Event(CC14, 1, 7, 127)]


def test_a_coarse_value_whose_fine_one_stays_away_is_not_lost():
    decoder = Decoder()
    for message in encode(CC14, 1, 7, 5000):
        decoder.feed(message)
    assert of_kind(CC14, decoder.feed([0xB0, 7, 100])) == []
    assert decoder.waits
    assert decoder.settle() == [Event(CC14, 1, 7, 12800, 16383)]
    assert not decoder.waits
    assert decoder.settle() == []


def test_coarse_values_in_a_row_come_one_behind_and_the_last_by_settling():
    decoder = Decoder()
    for message in encode(CC14, 1, 7, 5000):
        decoder.feed(message)
    values = [e.value >> 7 for n in (50, 51, 52) for e in of_kind(CC14, decoder.feed([0xB0, 7, n]))]
    assert values + [e.value >> 7 for e in decoder.settle()] == [50, 51, 52]


def test_the_fine_half_of_nothing_is_nothing():
    assert of_kind(CC14, decode([0xB0, 39, 3], settle=True)) == []


@given(st.integers(1, 16), st.integers(0, 16382), st.lists(st.integers(0, 16383), min_size=1, max_size=5))
def test_nrpns_come_back_as_they_were_sent(channel, number, values):
    if number >> 7 == 127 and number & 127 == 127:
        return
    messages = [message for value in values for message in encode(NRPN, channel, number, value)]
    events = of_kind(NRPN, decode(*messages))
    assert [e.value for e in events if e.max_value > 127] == values
    assert {(e.channel, e.number) for e in events} == {(channel, number)}


def test_an_nrpn_of_seven_bits():
    assert of_kind(NRPN, decode([0xB0, 99, 1], [0xB0, 98, 2], [0xB0, 6, 127])) == [Event(NRPN, 1, 130, 127)]


def test_steps_of_an_nrpn():
    events = decode([0xB0, 99, 1], [0xB0, 98, 2], [0xB0, 96, 0], [0xB0, 97, 0])
    assert [(e.number, e.value) for e in of_kind(NRPN_STEP, events)] == [(130, 1), (130, -1)]


@pytest.mark.parametrize(
    "before",
    [
        [],
        [[0xB0, 99, 1]],
        [[0xB0, 98, 1]],
        [[0xB0, 99, 127], [0xB0, 98, 127]],
        [[0xB0, 99, 1], [0xB0, 98, 2], [0xB0, 101, 0], [0xB0, 100, 0]],  # a registered parameter since
        [[0xB1, 99, 1], [0xB1, 98, 2]],  # on another channel
    ],
    ids=str,
)
def test_data_for_no_nrpn_is_none(before):
    events = decode(*before, [0xB0, 6, 1], [0xB0, 38, 1], [0xB0, 96, 0], settle=True)
    assert of_kind(NRPN, events) == of_kind(NRPN_STEP, events) == []


def test_channels_do_not_mix():
    events = of_kind(CC14, decode([0xB0, 7, 64], [0xB1, 39, 3]))
    assert events == [Event(CC14, 1, 7, 64)]


@pytest.mark.parametrize(
    ("kind", "value", "messages"),
    [
        (CC, 100, [[0xB4, 9, 100]]),
        (NOTE, 127, [[0x94, 9, 127]]),
        (CC14, 300, [[0xB4, 9, 2], [0xB4, 41, 44]]),
        (NRPN, 300, [[0xB4, 99, 0], [0xB4, 98, 9], [0xB4, 6, 2], [0xB4, 38, 44]]),
    ],
)
def test_what_a_controller_is_told(kind, value, messages):
    assert encode(kind, 5, 9, value) == messages


def test_nothing_is_sent_for_programs():
    with pytest.raises(ValueError, match="program"):
        encode(PROGRAM, 1, 1, 1)


def test_note_names():
    assert [note_name(n) for n in (0, 36, 37, 60, 127)] == ["C-1", "C2", "C#2", "C4", "G9"]
