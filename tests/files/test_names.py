"""Names as files really have them: home folders, dots, bytes that are no UTF-8, control characters."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from rtsep.files.names import (
    STDIN,
    folder_name,
    input_path,
    is_there,
    one_line,
    print_any_name,
    printable,
    user_path,
)


def test_a_tilde_is_the_home_folder_and_an_unknown_user_is_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/takes") == tmp_path / "takes"
    assert user_path(Path("~")) == tmp_path
    assert user_path("~no-such-user-here/x") == Path("~no-such-user-here/x")
    assert user_path("a/~/b") == Path("a/~/b")


def test_a_dash_is_standard_input_and_a_file_of_that_name_is_not():
    assert input_path("-") == STDIN
    assert input_path("./-") == Path("-")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("song.wav", "song"), ("...wav", "...wav"), ("..wav", "..wav"), ("....", "...."), (".wav", ".wav"),
        ("a.b.flac", "a.b"), ("x/..mp3", "..mp3"), ("no suffix", "no suffix"), ("stdin", "stdin"),
    ],
)  # fmt: skip
def test_the_folder_of_the_stems_lies_below(tmp_path, name, folder):
    assert folder_name(Path(name)) == folder
    out = tmp_path / "out"
    place = Path(os.path.normpath(out / folder_name(Path(name))))
    assert place.parent == out


def test_names_for_pages_and_lines():
    name = os.fsdecode(b"caf\xe9 \xc3\xa9")
    assert printable(name) == "caf\\xe9 é"
    assert one_line("a\nb\x1b[31m\tc") == "a\\nb\\x1b[31m\\tc"
    assert one_line(name) == name, "the terminal gets the bytes of the name"


@pytest.mark.parametrize(
    ("encoding", "text"), [("utf-8", b"caf\xe9 \xe2\x86\x92"), ("ascii", b"caf\xe9 \\u2192")]
)
def test_standard_output_takes_the_bytes_of_every_name(monkeypatch, encoding, text):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    monkeypatch.setattr(sys, "stderr", None)  # closed: nothing to do there
    print_any_name()
    print(os.fsdecode(b"caf\xe9"), "→", end="", flush=True)
    assert raw.getvalue() == text


def test_a_host_program_may_read_back_what_was_printed(monkeypatch, tmp_path):
    with (tmp_path / "out").open("w+", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        print_any_name()
        print("caf\udce9", end="", flush=True)
        out.seek(0)
        assert out.read() == "caf\udce9"


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "no/such", "y" * 300 + ".wav"])
def test_a_name_that_no_file_can_have_is_not_there(name):
    assert not is_there(Path(name))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\nlines\x1b[2J", "two\\nlines\\x1b[2J"),
        ("a\u3000song\xa0of \u200dours", "a\u3000song\xa0of \u200dours"),
        ("\u202eback\u2028", "\\u202eback\\u2028"),
        ("caf\udce9", "caf\udce9"),
    ],
)
def test_a_line_stays_one_and_shows_the_names_of_the_world(text, line):
    assert one_line(text) == line
