"""Maps as people write them, right and wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.controls import MINUS_INFINITY_DB, TABLE
from rtsep.errors import UsageError
from rtsep.surfaces.midi import map as map_module
from rtsep.surfaces.midi.map import (
    DEFAULT_ENTRIES,
    KNOB,
    LATCHED,
    MOMENTARY,
    TOGGLE,
    load_map,
    parse_map,
)
from rtsep.surfaces.midi.messages import CC, CC14, NOTE, NRPN

FILE = Path("midi.toml")


def read(text):
    return parse_map(text, FILE)


def own(text):
    return [entry for entry in read(text).entries if entry.in_file]


def test_a_map_as_a_person_writes_it():
    midi = read(
        """
        channel = 2             # my controller
        feedback = false

        [threshold]
        cc = 21
        range = [0.1, 0.8]
        curve = "dB"
        takeover = false

        [vocals_gain]
        cc14 = 7
        range = ["-inf", 6]
        channel = "any"

        [blend]
        cc = 30
        encoder = "offset"
        step = 0.02

        [vocals_mute]
        note = 40
        mode = "momentary"
        invert = true
        port = "launchpad"

        [smoothing]
        nrpn = 1000
        """
    )
    assert (midi.channel, midi.feedback) == (2, False)
    threshold, gain, blend, mute, smoothing = [entry for entry in midi.entries if entry.in_file]
    assert (threshold.kind, threshold.number, threshold.channel) == (CC, 21, 2)
    assert (threshold.travel.low, threshold.travel.high, threshold.travel.curve) == (0.1, 0.8, "dB")
    assert (threshold.takeover, threshold.mode) == (False, KNOB)
    assert (gain.kind, gain.number, gain.channel, gain.takeover) == (CC14, 7, None, True)
    assert (gain.travel.low, gain.travel.high, gain.travel.curve) == (MINUS_INFINITY_DB, 6, "dB")
    assert (blend.encoder, blend.step) == ("offset", 0.02)
    assert (mute.kind, mute.mode, mute.invert, mute.port) == (NOTE, MOMENTARY, True, "launchpad")
    assert (smoothing.kind, smoothing.number, smoothing.travel.curve) == (NRPN, 1000, "lin")


@pytest.mark.parametrize("control", TABLE, ids=lambda control: control.name)
@pytest.mark.parametrize("source", ["cc = 90", "cc14 = 20", "nrpn = 5", "note = 99"])
def test_every_control_can_be_mapped_to_every_kind_of_knob(control, source):
    (entry,) = own(f"[{control.name}]\n{source}")
    assert entry.control == control
    assert (entry.travel.low, entry.travel.high) == (control.minimum, control.maximum)
    switch = control.unit in ("switch", "choice") or "note" in source
    assert entry.mode == (TOGGLE if switch else KNOB)


def test_a_control_may_have_several_knobs():
    first, second = own("[[bypass]]\nnote = 60\n[[bypass]]\ncc = 64\nmode = 'latched'")
    assert (first.kind, second.kind, second.mode) == (NOTE, CC, LATCHED)


def test_what_a_file_does_not_mention_keeps_its_default_place():
    midi = read("[threshold]\ncc = 21")
    assert [e.control.name for e in midi.entries] == ["threshold"] + [
        e.control.name for e in DEFAULT_ENTRIES if e.control.name != "threshold"
    ]
    assert {e.in_file for e in midi.entries[1:]} == {False}


def test_a_knob_that_a_file_uses_is_no_default_any_more():
    names = {e.control.name for e in read("[blend]\ncc = 7\n[gate]\ncc14 = 8").entries}
    assert "vocals_gain" not in names
    assert "instrumental_gain" not in names
    assert "threshold" in names


def test_without_defaults_there_is_what_the_file_says():
    assert len(read("defaults = false\n[blend]\ncc = 7").entries) == 1
    assert read("defaults = false").entries == ()


def test_what_is_said_of_all_holds_for_the_defaults_too():
    midi = read("channel = 5\ntakeover = false")
    assert {(e.channel, e.takeover) for e in midi.entries} == {(5, False)}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[threshold\ncc = 1", 1, "not valid TOML"),
        ("[threshold]\ncc = 1\ncc = 2", 3, "not valid TOML: cannot overwrite"),
        (
            "[gate]\ncc = 1\n[gate]\ncc = 2",
            3,
            "not valid TOML: [gate] occurs twice; several tables of one name are written [[gate]]",
        ),
        ("\n[treshold]\ncc = 1", 2, "no control is called 'treshold'; did you mean 'threshold'?"),
        ("[threshold]\ncc = 1\n\n[[gain]]\ncc = 2", 4, "no control is called 'gain'; did you mean"),
        ("# map\nchanel = 1", 2, "no setting is called 'chanel'; did you mean 'channel'?"),
        ("channel = 17", 1, 'channel 17: must be a whole number from 1 to 16 (or "any")'),
        ("channel = 'all'", 1, "channel 'all': must be a whole number"),
        ("feedback = 'no'", 1, "feedback 'no': must be true or false"),
        ("takeover = 1", 1, "takeover 1: must be true or false"),
        ("threshold = 5", 1, "threshold needs a table: [threshold]"),
        ("[threshold]\n# cc\ncx = 1", 3, "threshold has no setting 'cx'; did you mean 'cc'"),
        ("[threshold]\nrange = [0, 1]", 1, "threshold names no knob; give one of cc, cc14, nrpn, note"),
        ("[threshold]\ncc = 1\nnote = 5", 3, "threshold has cc and note; give one of"),
        ("[threshold]\ncc = 128", 2, "cc 128: must be a whole number from 0 to 127"),
        ("[threshold]\ncc14 = 32", 2, "cc14 32: must be a whole number from 0 to 31"),
        ("[threshold]\nnrpn = 16384", 2, "nrpn 16384: must be a whole number from 0 to 16383"),
        ("[threshold]\nnote = 'C1'", 2, "note 'C1': must be a whole number"),
        ("[threshold]\ncc = true", 2, "cc true: must be a whole number"),
        ("[threshold]\ncc = 1.0", 2, "cc 1.0: must be a whole number"),
        ("[threshold]\ncc = 1\nrange = [0, 2]", 3, "range: threshold 2: out of range; 0 to 1"),
        ("[threshold]\ncc = 1\nrange = [0.8, 0.2]", 3, "range [0.8, 0.2]: give the lower end first"),
        ("[threshold]\ncc = 1\nrange = 0.5", 3, "range must be [lowest, highest]; threshold: 0 to 1"),
        ("[threshold]\ncc = 1\nrange = [0, true]", 3, "range: true is not a number"),
        ("[vocals_gain]\ncc = 1\nrange = ['quiet', 0]", 3, "range: vocals_gain 'quiet': not a number"),
        ("[threshold]\ncc = 1\ncurve = 'db'", 3, "curve 'db': must be one of lin, dB; did you mean 'dB'?"),
        ("[bypass]\ncc = 1\ncurve = 'lin'", 3, "bypass is not a knob and does not accept curve"),
        (
            "[bypass]\nnote = 1\nmode = 'togle'",
            3,
            "mode 'togle': must be one of toggle, momentary, latched; did you",
        ),
        ("[bypass]\nnote = 1\nmode = 'knob'", 3, "mode 'knob': must be one of"),
        ("[bypass]\nnote = 1\ninvert = true", 3, "invert is not possible with mode"),
        (
            "[threshold]\ncc = 1\nencoder = 'ofset'",
            3,
            "encoder 'ofset': must be one of twos-complement, offset",
        ),
        ("[bypass]\ncc = 1\nencoder = 'offset'", 3, "encoder applies only to a knob that sends cc"),
        ("[threshold]\nnrpn = 1\nencoder = 'offset'", 3, "encoder applies only to a knob that sends cc"),
        ("[threshold]\ncc = 1\nstep = 0.1", 3, "step applies only to an encoder"),
        ("[threshold]\ncc = 1\nencoder = 'offset'\nstep = 0", 4, "step 0: must be the share of the range"),
        ("[threshold]\nnote = 1\ncurve = 'dB'", 3, "a button (toggle) jumps between the ends"),
        ("[bypass]\nnote = 1\ntakeover = true", 3, "takeover applies only to knobs and faders"),
        ("[threshold]\ncc = 1\nport = 5", 3, "port is part of a port's name"),
        ("[gate]\ncc = 1\n[threshold]\ncc = 300", 4, "cc 300"),
        ("[[gate]]\ncc = 1\n[[gate]]\ncc = 300", 4, "cc 300"),
        ("[gate]\ncc = 1\n\n[threshold]\n\n", 4, "threshold names no knob"),
        ("gate = { cc = 1 }\nthreshold = { cc = 300 }", 2, "cc 300"),
        ("gate.cc = 1\nthreshold.cc = 300", 2, "cc 300"),
        ("# a\u2028b\u0085c\n[threshold]\ncc = 300", 3, "cc 300"),
        ("[threshold]\ncc = 1" + "0" * 400, 2, "cc 1000"),
        ("[threshold]\ncc = 1\nrange = [0, 1" + "0" * 400 + "]", 3, "range: threshold inf: out of range"),
        ('[vocals_gain]\ncc = 1\nrange = ["a\\nb", 0]', 3, "range: vocals_gain 'a\\nb'"),
        ("cc = 1" + "0" * 4900, 1, "a number of thousands of digits"),
        ("a = " + "[" * 4900, 1, "a number of thousands of digits, or as many brackets"),
        ("\nthreshold = []", 2, "threshold needs a table: [threshold]"),
        ("# map\n[threshold]\ncc =\n\n", 3, "not valid TOML"),
        ("# map\n[threshold]\ncc = [1,\n", 3, "not valid TOML: invalid value"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_the_remedy(text, line, words):
    with pytest.raises(UsageError) as error:
        read(text)
    assert str(error.value).startswith(f"midi.toml, line {line}: {words}"), str(error.value)


@given(st.text(max_size=200))
def test_any_text_is_a_map_or_one_clear_line(text):
    try:
        read(text)
    except UsageError as error:
        assert "\n" not in str(error).replace(text, "")


def test_the_users_file_is_found_and_its_absence_is_the_default_map(tmp_path, monkeypatch):
    monkeypatch.setattr(map_module, "user_file", lambda: tmp_path / "midi.toml")
    assert load_map().entries == DEFAULT_ENTRIES
    assert load_map().path is None
    (tmp_path / "midi.toml").write_text("[gate]\ncc = 5")
    assert load_map().path == tmp_path / "midi.toml"
    assert load_map().entries[0].control.name == "gate"


def test_a_mark_at_the_start_of_the_file_is_no_part_of_it(tmp_path):
    (tmp_path / "midi.toml").write_bytes(b"\xef\xbb\xbf[gate]\r\ncc = 5\r\n")
    assert load_map(tmp_path / "midi.toml").entries[0].number == 5


def test_a_map_that_is_asked_for_must_be_there(tmp_path):
    with pytest.raises(UsageError, match="no such map; 'rtsep midi learn CONTROL --map"):
        load_map(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        load_map(tmp_path / "binary.toml")
    with pytest.raises(UsageError, match="cannot read the map"):
        load_map(tmp_path)
