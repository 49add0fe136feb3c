import pytest

from rtsep.surfaces.midi.names import WINDOWS, foreign, lasting, matching, split_system, twin

HERE = [
    "nanoKONTROL2:nanoKONTROL2 MIDI 1 24:0",
    "nanoPAD2:nanoPAD2 MIDI 1 28:0",
    "Midi Through:Midi Through Port-0 14:0",
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nanokontrol", [0]),
        ("NANO", [0, 1]),
        ("through", [2]),
        ("nanoPAD2:nanoPAD2 MIDI 1", [1]),
        ("launchpad", []),
        (HERE[1].upper(), [1]),
    ],
)
def test_a_name_or_part_of_it(text, found):
    assert matching(text, HERE) == [HERE[n] for n in found]


def test_the_whole_name_is_meant_before_those_that_hold_it():
    assert matching("pad", ["pad 2", "Pad", "launchpad"]) == ["Pad"]


def test_a_number_that_alsa_gives_anew_is_no_part_of_the_name():
    assert lasting("nanoPAD2:nanoPAD2 MIDI 1 28:0") == lasting("nanoPAD2:nanoPAD2 MIDI 1 32:0")


def test_a_number_that_windows_gives_anew_is_no_part_of_the_name_and_others_are():
    assert lasting("nanoKONTROL2 0", WINDOWS) == lasting("nanoKONTROL2 3", WINDOWS)
    assert lasting("nanoPAD2 MIDI 1") != lasting("nanoPAD2 MIDI 2")
    assert matching("nanokontrol2", ["nanoKONTROL2 Studio 0", "nanoKONTROL2 1"], WINDOWS) == [
        "nanoKONTROL2 1"
    ]


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("nanoKONTROL2 0", "nanoKONTROL2 1"),
        ("MIDIIN2 (Launchpad Pro) 3", "MIDIOUT2 (Launchpad Pro) 4"),
        ("Launchpad Pro 2", "Launchpad Pro 3"),
        ("padre 4", None),
    ],
)
def test_the_output_of_the_same_controller_on_windows(given, output):
    outputs = [
        "Microsoft GS Wavetable Synth 0",
        "nanoKONTROL2 1",
        "MIDIOUT2 (Launchpad Pro) 4",
        "Launchpad Pro 3",
    ]
    assert twin(given, outputs, WINDOWS) == output


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("nanoPAD2:nanoPAD2 MIDI 1 28:0", "nanoPAD2:nanoPAD2 MIDI 1 28:0"),
        ("pad:out", "pad:in"),
        ("system:midi_capture_3", "system:midi_playback_3"),
        ("a2j:nanoPAD2 [28] (capture): MIDI 1", "a2j:nanoPAD2 [28] (playback): MIDI 1"),
        ("Midi-Bridge:BCF2000:(capture_0) BCF2000 MIDI 1", "Midi-Bridge:BCF2000:(playback_0) BCF2000 MIDI 1"),
        ("midisport:in2", "midisport:out2"),
        ("desk:out", "desk-01:in"),  # a program with a JACK client for each direction
        ("desk-02:out", "desk-01:in"),
        ("twice:out", None),  # the name is that of both
        ("padre:out", None),
        ("system:midi_capture_4", None),
    ],
)
def test_the_output_of_the_same_controller(given, output):
    outputs = [
        "nanoPAD2:nanoPAD2 MIDI 1 28:0",
        "pad:in",
        "desk-01:in",
        "twice-01:in",
        "twice-03:in",
        "midisport:out1",
        "midisport:out2",
        "system:midi_playback_3",
        "a2j:nanoPAD2 [28] (playback): MIDI 1",
        "Midi-Bridge:BCF2000:(playback_0) BCF2000 MIDI 1",
    ]
    assert twin(given, outputs) == output


def test_our_own_ports_are_nobody():
    assert foreign(["rtsep-midi:rtsep", "rtsep-feedback-01:rtsep", "rtsep", "pad:out"]) == ["pad:out"]


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("jack:virtual", ("Jack", "virtual")),
        ("ALSA:launch", ("ALSA", "launch")),
        ("pad:out", (None, "pad:out")),
        ("virtual", (None, "virtual")),
    ],
)
def test_a_system_may_be_named(text, split):
    assert split_system(text) == split
