"""Presets: what people write by hand, what is refused, what is recalled."""

from __future__ import annotations

import errno
import os
import threading
import time
import tomllib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.controls import BY_NAME, MINUS_INFINITY_DB, TABLE, Controls
from rtsep.errors import OutputError, UsageError
from rtsep.surfaces import presets as presets_module
from rtsep.surfaces import toml
from rtsep.surfaces.presets import Preset, Presets, check_name, parse_preset
from rtsep.surfaces.toml import MAX_BYTES, TomlFile

BY_HAND = """\
# for the chorus
program = 5

threshold = 0.4        # cleans up
mask = "binary"
vocals_gain = "-6 dB"
instrumental_gain = -inf
vocals_mute = true
bypass = "off"
smoothing = "20ms"
"""


@pytest.fixture
def presets(tmp_path):
    return Presets(tmp_path / "presets")


def write(presets: Presets, name: str, text: str) -> None:
    presets.folder.mkdir(parents=True, exist_ok=True)
    presets.path(name).write_text(text, encoding="utf-8")


def values_of(control):
    if control.unit in ("switch", "choice"):
        return st.integers(int(control.minimum), int(control.maximum)).map(float)
    return st.floats(control.minimum, control.maximum)


# --- what is written by hand -------------------------------------------------------------------------------


def test_a_preset_is_read_as_a_person_writes_it(presets):
    write(presets, "chorus", BY_HAND)
    preset = presets.load("chorus")
    assert preset.program == 5
    assert dict(preset.values) == {
        "threshold": 0.4,
        "mask": 1.0,
        "vocals_gain": -6.0,
        "instrumental_gain": MINUS_INFINITY_DB,
        "vocals_mute": 1.0,
        "bypass": 0.0,
        "smoothing": 20.0,
    }


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            "threshold = 0.4\n\ntreshold = 0.4",
            3,
            "no control is called 'treshold'; did you mean 'threshold'?",
        ),
        ("threshold = 1.5", 1, "threshold 1.5: out of range; 0 to 1"),
        ("threshold = nan", 1, "threshold nan: out of range"),
        ("threshold = true", 1, "threshold true: 0 to 1"),
        ("# 0\nthreshold = [0.4]", 2, "threshold [0.4]: 0 to 1"),
        ('threshold = "loud"', 1, "threshold 'loud': not a number; 0 to 1"),
        ('mask = "binry"', 1, "mask 'binry': must be one of soft, binary; did you mean 'binary'?"),
        ("mask = 1", 1, "mask 1: one of soft, binary"),
        ("\nvocals_mute = 0.5", 2, "vocals_mute 0.5: in-between values are not accepted; on or off"),
        ("vocals_gain = 13", 1, "vocals_gain 13: out of range; -inf to 12 dB"),
        ("threshold = 0\nprogram = 128", 2, "program 128: must be a whole number from 0 to 127"),
        ("threshold = 0\nprogram = true", 2, "program true: must be a whole number"),
        ("threshold = 0\nprogram = 1.0", 2, "program 1.0: must be a whole number"),
        ("threshold = 0\n\n[threshold2]\ncc = 1", 3, "no control is called 'threshold2'"),
        ("threshold = 0\nthreshold = 1", 2, "not valid TOML: cannot overwrite a value"),
        ("threshold = ", 1, "not valid TOML: invalid value"),
        ("", 1, "sets no control"),
        ("program = 5", 1, "sets no control"),
    ],
)
def test_what_is_wrong_with_a_preset_is_said_with_its_line(presets, text, line, words):
    write(presets, "mine", text)
    controls = Controls(gate=0.25)
    before = controls.snapshot()
    with pytest.raises(UsageError) as error:
        presets.recall("mine", controls)
    assert str(error.value).startswith(f"{presets.path('mine')}, line {line}: ")
    assert words in str(error.value)
    assert controls.snapshot() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no FIFOs")
def test_what_may_never_end_is_not_read(presets):
    presets.folder.mkdir()
    os.mkfifo(presets.path("pipe"))
    presets.path("device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(UsageError, match=rf"{name}\.toml: cannot read the preset: not a file; remove it"):
            presets.load(name)


def test_a_file_that_no_settings_fill_is_refused(presets):
    presets.folder.mkdir()
    presets.path("huge").write_text("threshold = 0.4\n" + "#\n" * (1 << 15))
    with pytest.raises(UsageError, match=r"huge\.toml: cannot read the preset: more than 64 kB"):
        presets.load("huge")


LONG = {
    "a key of 2400 parts": (".".join("a" * 2400) + " = 1", "4803 characters with 2399 dots"),
    "in a table": ("x = {" + ".".join("a" * 300) + " = 1}", "with 299 dots"),
    "a header": ("[" + ".".join("a" * 300) + "]", "with 299 dots"),
    "a line": ("threshold = 0.4 #" + "-" * 5000, "5017 characters"),
}


@pytest.mark.parametrize(("text", "words"), LONG.values(), ids=LONG)
def test_lines_that_take_gigabytes_to_parse_are_refused(presets, monkeypatch, text, words):
    write(presets, "mine", f"threshold = 0.4\n{text}\n")
    monkeypatch.setattr(tomllib, "loads", lambda _: pytest.fail("parsed"))
    with pytest.raises(UsageError, match=r"mine\.toml, line 2: ") as error:
        presets.load("mine")
    assert words in str(error.value) and str(error.value).endswith("; shorten it")


def test_the_largest_file_of_dotted_keys_is_read_promptly(tmp_path):
    line = ".".join("a" * 250)
    text = "\n".join(f"{line}.b{number} = 1" for number in range(MAX_BYTES // 510))
    began = time.thread_time()
    TomlFile(text, tmp_path / "x.toml")
    assert time.thread_time() - began < 1.0


@pytest.mark.parametrize("key", ["tress", " " * 1000], ids=["word", "spaces"])
def test_the_line_of_an_error_is_found_promptly(tmp_path, key):
    """A pattern with two repetitions side by side takes the square of a line's length."""
    file = TomlFile("", tmp_path / "x.toml")
    file._lines = [" " * 20_000, "[" * 20_000, ", " * 10_000, "." + " " * 20_000, f'"{key}" = 1']
    began = time.thread_time()
    assert file.line(key) == file.line("x", (key, 0)) == 5
    assert time.thread_time() - began < 1.0


@pytest.mark.parametrize("deep", ["[" * 2000, "{a=" * 1000, "[" * 2000 + "]" * 2000], ids=["[", "{", "[]"])
def test_nested_values_are_refused(presets, deep):
    write(presets, "mine", f"threshold = {deep}")
    with pytest.raises(UsageError, match=r"mine\.toml, line 1: "):
        presets.load("mine")


def test_a_file_that_is_no_text_is_refused(presets):
    presets.folder.mkdir()
    presets.path("mine").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"mine\.toml: cannot read the preset: it is not text in UTF-8"):
        presets.load("mine")


# --- saved and recalled -------------------------------------------------------------------------------------


@given(
    st.fixed_dictionaries({}, optional={c.name: values_of(c) for c in TABLE}), st.none() | st.integers(0, 127)
)
def test_what_is_saved_is_read_back_to_the_last_bit(tmp_path, values, program):
    if values:
        preset = Preset("x", values, program)
        assert parse_preset(preset.text(), tmp_path / "x.toml") == preset


@given(st.fixed_dictionaries({c.name: values_of(c) for c in TABLE}))
def test_a_whole_preset_brings_every_control_back(tmp_path, values):
    first, later = Controls(**values), Controls()
    presets = Presets(tmp_path / "whole")
    presets.save(Preset("all", first.snapshot()), replace=True)
    presets.recall("all", later)
    assert later.snapshot() == first.snapshot()
    assert {later.moved_by(name) for name in BY_NAME} == {"preset"}


def test_a_part_of_the_table_leaves_the_rest_where_it_is(presets):
    presets.save(Preset("part", {"gate": 0.1, "blend": 0.5}))
    controls = Controls(threshold=0.3, blend=0.9)
    presets.recall("part", controls)
    assert controls.snapshot() == Controls(threshold=0.3, blend=0.5, gate=0.1).snapshot()
    assert [controls.moved_by(name) for name in ("threshold", "gate", "blend", "bypass")] == [
        "API", "preset", "preset", "",
    ]  # fmt: skip


def test_a_value_out_of_range_sets_nothing_at_all(presets):
    controls = Controls()
    with pytest.raises(UsageError, match="blend 2: out of range"):
        Preset("bad", {"threshold": 0.4, "blend": 2.0}).recall(controls)
    assert controls.threshold == 0
    with pytest.raises(UsageError, match="blend 2: out of range"):
        presets.save(Preset("bad", {"blend": 2.0}))
    assert presets.names() == []


def test_names_are_listed_in_order_and_forgotten_when_deleted(presets):
    assert presets.names() == []
    for name in ("verse", "Chorus 2", "bridge", "Ünder"):
        presets.save(Preset(name, {"gate": 0.1}))
    (presets.folder / "notes.txt").write_text("none of ours")
    (presets.folder / ".verse.part").write_text("cut off")
    (presets.folder / "folder.toml").mkdir()
    assert presets.names() == ["bridge", "Chorus 2", "verse", "Ünder"]
    presets.delete("bridge")
    assert presets.names() == ["Chorus 2", "verse", "Ünder"]
    for use in (presets.load, presets.delete):
        with pytest.raises(UsageError, match=r"no preset is called 'vers'; did you mean 'verse'\?"):
            use("vers")


@pytest.mark.parametrize("name", ["chorus", "Chorus 2", "intro (loud)", "Strophe-ä", "7", "a.b", "x" * 64])
def test_names_that_any_file_system_takes_are_taken(presets, name):
    presets.save(Preset(name, {"gate": 0.5}))
    assert presets.names() == [name]
    assert presets.load(name).name == name


@pytest.mark.parametrize(
    "name",
    ["", " ", ".hidden", "../up", "a/b", "a\\b", "C:x", "nul", "COM1", "con.old", "x\ny", "x\0", "dot.", "x ",
     "-r", "x" * 65, "a?b", "*"],
)  # fmt: skip
def test_names_that_are_no_safe_file_names_are_refused(presets, name):
    for use in (check_name, presets.load, presets.delete, lambda n: presets.save(Preset(n, {"gate": 0.5}))):
        with pytest.raises(UsageError, match="a name "):
            use(name)
    assert not presets.folder.exists()


def test_a_name_is_one_name_however_its_accents_are_written(presets):
    presets.save(Preset("cafe\u0301", {"gate": 0.5}))
    assert presets.load("caf\u00e9").values == {"gate": 0.5}


def test_a_preset_is_not_written_over_by_accident(presets):
    presets.save(Preset("mine", {"gate": 0.5}))
    with pytest.raises(UsageError, match="there is a preset 'mine' already"):
        presets.save(Preset("mine", {"gate": 0.6}))
    presets.save(Preset("mine", {"gate": 0.7}, 3), replace=True)
    assert presets.load("mine") == Preset("mine", {"gate": 0.7}, 3)
    with pytest.raises(UsageError, match="program 3 already recalls 'mine'"):
        presets.save(Preset("other", {"gate": 0.5}, 3))


def test_a_preset_is_written_whole_or_not_at_all(presets, monkeypatch):
    presets.save(Preset("mine", {"gate": 0.5}))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"mine\.toml: cannot write the preset: No space left on device"):
        presets.save(Preset("mine", {"gate": 0.6}), replace=True)
    assert presets.load("mine").values == {"gate": 0.5}
    assert [path.name for path in presets.folder.iterdir()] == ["mine.toml"]


# --- program changes ----------------------------------------------------------------------------------------


def test_without_numbers_a_program_is_a_place_in_the_list(presets):
    for name in ("verse", "bridge", "chorus"):
        presets.save(Preset(name, {"gate": 0.1}))
    found = [presets.of_program(program) for program in range(4)]
    assert [preset and preset.name for preset in found] == ["bridge", "chorus", "verse", None]


def test_with_numbers_only_they_count(presets):
    presets.save(Preset("a", {"gate": 0.1}))
    presets.save(Preset("b", {"gate": 0.2}, 100))
    assert presets.of_program(0) is None
    found = presets.of_program(100)
    assert found and found.name == "b"
    write(presets, "c", "program = 100\ngate = 0.3")
    with pytest.raises(UsageError, match="program 100: 'b' and 'c' both have this number"):
        presets.of_program(100)


def test_a_program_change_recalls_and_never_raises(presets):
    controls, said = Controls(), []
    recall = presets.on_program(controls, said.append)
    recall(0, 1)
    write(presets, "a", "program = 1\nthreshold = 0.2")
    write(presets, "b", "program = 2\nthreshold = 0.4")
    write(presets, "broken", "program = 3\ntreshold = 0.4")
    recall(1, 1)
    assert (controls.threshold, controls.moved_by("threshold")) == (0.2, "preset")
    recall(2, 16)
    recall(2, 16)
    assert controls.threshold == 0.4
    recall(3, 1)
    assert controls.threshold == 0.4
    write(presets, "b", "program = 2\nthreshold = 0.55")  # what is changed while it plays counts
    recall(2, 1)
    assert controls.threshold == 0.55
    assert said == [
        "program 0 recalls no preset ('rtsep presets' lists them)",
        "preset 'a' (program 1)",
        "preset 'b' (program 2)",  # once, however often
        "program 3 recalls no preset ('rtsep presets' lists them)",
        "preset 'b' (program 2)",
    ]


def test_a_flood_of_program_changes_reads_each_file_once(presets, monkeypatch):
    for number in range(3):
        presets.save(Preset(f"p{number}", {"threshold": number / 10}, number))
    presets, reads = Presets(presets.folder), []
    load = presets._parsed
    monkeypatch.setattr(presets, "_parsed", lambda name: reads.append(name) or load(name))
    controls = Controls()
    recall = presets.on_program(controls, lambda _: None)
    for number in range(2000):
        recall(number % 3, 1)
    assert controls.threshold == (1999 % 3) / 10
    assert sorted(reads) == ["p0", "p1", "p2"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_that_lead_nowhere_do_not_hide_the_other_presets(presets, tmp_path):
    presets.save(Preset("good", {"gate": 0.5}, 1))
    presets.path("loop").symlink_to("loop.toml")
    presets.path("dangling").symlink_to(tmp_path / "missing.toml")
    controls, said = Controls(), []
    recall = presets.on_program(controls, said.append)
    recall(1, 1)
    assert (controls.gate, said) == (0.5, ["preset 'good' (program 1)"])
    for _ in range(2):
        found, broken = presets.load_all()
        assert [preset.name for preset in found] == ["good"]
        assert len(broken) == 1 and "loop.toml: cannot read the preset: Too many levels" in broken[0]
    with pytest.raises(OutputError, match=r"loop\.toml: cannot write the preset: Too many levels"):
        presets.save(Preset("loop", {"gate": 0.1}, 2), replace=True)
    presets.delete("loop")
    assert presets.load_all()[1] == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.ELOOP, errno.EIO, errno.ENOENT])
def test_a_preset_that_cannot_be_looked_up_costs_the_others_nothing(presets, monkeypatch, number):
    """As root no folder is barred, so the system's answer is given here."""
    presets.save(Preset("bad", {"gate": 0.1}, 1))
    presets.save(Preset("good", {"gate": 0.5}, 2))
    scandir = os.scandir

    def refuse(*_args, **_options):
        raise OSError(number, os.strerror(number))

    def entries(folder):
        for entry in scandir(folder):
            bad = entry.name == "bad.toml"
            yield SimpleNamespace(name=entry.name, is_file=lambda: True, stat=refuse if bad else entry.stat)

    monkeypatch.setattr(os, "scandir", entries)
    monkeypatch.setattr(presets_module, "read_text", lambda path, what: (
        refuse_text(path, number) if path.name == "bad.toml" else toml.read_text(path, what)
    ))  # fmt: skip
    found, broken = presets.load_all()
    assert [preset.name for preset in found] == ["good"]
    assert broken == ([] if number == errno.ENOENT else [f"{presets.path('bad')}: cannot read"])


def refuse_text(path, number):
    raise UsageError(f"{path}: cannot read") if number != errno.ENOENT else FileNotFoundError()


def test_presets_saved_and_deleted_during_a_scan_are_no_errors(presets, monkeypatch):
    for name in ("goes", "stays"):
        presets.save(Preset(name, {"gate": 0.5}))
    others, stamps = Presets(presets.folder), presets._stamps

    def scan_and_change():
        found = stamps()
        if "comes" not in found:
            others.save(Preset("comes", {"gate": 0.1}))
            others.delete("goes")
        return found

    monkeypatch.setattr(presets, "_stamps", scan_and_change)
    for there in (["stays"], ["comes", "stays"]):
        found, broken = presets.load_all()
        assert ([preset.name for preset in found], broken) == (there, [])


def test_no_error_ends_the_thread_of_midi(presets, monkeypatch):
    monkeypatch.setattr(presets, "of_program", lambda _: 1 / 0)
    said = []
    recall = presets.on_program(Controls(), said.append)
    recall(3, 1)
    assert said == ["program 3: cannot recall a preset: ZeroDivisionError: division by zero"]


def test_a_player_never_hears_a_mixture_of_two_presets_for_long(presets):
    """Every slot that a recall has touched holds a value of one of the two presets, never another one."""
    low, high = Preset("low", {"gate": 0.1, "blend": 0.1}), Preset("high", {"gate": 0.9, "blend": 0.9})
    controls = Controls(gate=0.1, blend=0.1)
    stop = threading.Event()

    def turn():
        while not stop.is_set():
            high.recall(controls)
            low.recall(controls)

    turner = threading.Thread(target=turn)
    turner.start()
    seen = {value for _ in range(2000) for value in (controls.gate, controls.blend)}
    stop.set()
    turner.join()
    assert seen <= {0.1, 0.9}


# --- the last state -----------------------------------------------------------------------------------------
