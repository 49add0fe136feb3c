"""`rtsep midi` as a user runs it, and messages of `rtsep live` about maps, without a controller."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtsep.cli import midi
from rtsep.errors import DeviceError, UsageError
from rtsep.surfaces.midi.map import DEFAULT_ENTRIES, parse_map
from tests.cli.program import assert_refused, rtsep, rtsep_here

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "midi.md").read_text()


def default_table() -> str:
    """Return the default map as docs/midi.md prints it."""
    rows = [f"| {entry.source} | `{entry.control.name}` | {entry.manner} |" for entry in DEFAULT_ENTRIES]
    return "\n".join(["| knob or pad | control | how |", "| --- | --- | --- |", *rows])


def test_the_page_shows_the_default_map():
    assert default_table() in PAGE, f"the page's table should be:\n{default_table()}"


def test_the_map_of_the_page_is_one():
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    (example,) = [block for block in blocks if "note =" in block]
    assert len([entry for entry in parse_map(example, Path("midi.md")).entries if entry.in_file]) >= 5


def test_show_prints_the_default_map_and_the_users(tmp_path):
    outcome = rtsep_here("midi", "show", XDG_CONFIG_HOME=str(tmp_path), COLUMNS="150")
    assert outcome.code == 0
    text = "\n".join(outcome.out)
    for entry in DEFAULT_ENTRIES:
        assert entry.control.name in text
    folder = tmp_path / "rtsep"
    folder.mkdir()
    (folder / "midi.toml").write_text("feedback = false\n[gate]\ncc = 77\n")
    text = "\n".join(rtsep_here("midi", "show", XDG_CONFIG_HOME=str(tmp_path), COLUMNS="150").out)
    assert "cc 77" in text
    assert "feedback to controllers: off" in text


@pytest.mark.parametrize("command", [("midi", "show"), ("midi", "monitor"), ("live", "--midi", "virtual")])
def test_a_map_that_is_wrong_is_refused_before_anything_starts(tmp_path, command):
    path = tmp_path / "mine.toml"
    path.write_text("[threshold]\ncx = 1\n")
    outcome = rtsep_here(*command, "--map", path)
    assert_refused(outcome, UsageError.exit_code, f"{path}, line 2: threshold has no setting 'cx'")


def test_learning_an_unknown_control_is_refused():
    outcome = rtsep_here("midi", "learn", "treshold")
    assert_refused(outcome, UsageError.exit_code, "'treshold' is not a control; did you mean 'threshold'?")


def test_a_map_without_a_controller_is_refused(tmp_path):
    outcome = rtsep_here("live", "--map", tmp_path / "x.toml")
    assert_refused(outcome, UsageError.exit_code, "--midi")


def test_a_new_map_does_not_ask_for_the_users(tmp_path):
    folder = tmp_path / "rtsep"
    folder.mkdir()
    (folder / "midi.toml").write_text("[threshold]\ncx = 1\n")
    new = ("--map", tmp_path / "new.toml", "--seconds", "0.5")
    outcome = rtsep_here("midi", "learn", "threshold", *new, XDG_CONFIG_HOME=str(tmp_path))
    assert outcome.code == DeviceError.exit_code, outcome
    assert "no knob or pad that can turn threshold was moved" in outcome.said[-1]
    users = rtsep_here("midi", "learn", "threshold", XDG_CONFIG_HOME=str(tmp_path))
    assert_refused(users, UsageError.exit_code, "midi.toml, line 2: threshold has no setting 'cx'")


def test_learning_ends_when_nothing_is_moved_and_leaves_the_file_alone(tmp_path):
    path = tmp_path / "midi.toml"
    outcome = rtsep("midi", "learn", "threshold", "--map", path, "--seconds", "0.5")
    assert outcome.code == DeviceError.exit_code
    assert "no knob or pad that can turn threshold was moved within 0.5 s" in outcome.said[-1]
    assert not path.exists()


def test_a_full_disk_ends_the_monitor(monkeypatch):
    class Surface:
        def __init__(self, *_, on_event) -> None:
            self._on_event = on_event

        def start(self) -> None:
            self._on_event("pad", SimpleNamespace(kind=None, max_value=0), [])

        def close(self) -> None: ...

    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(midi, "MidiSurface", Surface)
    with contextlib.redirect_stdout(Full()), pytest.raises(OSError, match="No space left"):
        midi._monitor(parse_map("", Path("midi.toml")), ("pad",), None)
