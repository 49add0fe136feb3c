"""The last state: stored while a session plays, resumed by the next one."""

from __future__ import annotations

import math
import time

import pytest

from rtsep.controls import OUTPUT, Controls
from rtsep.surfaces import last_state
from rtsep.surfaces.last_state import StateKeeper, load_last_state, resume


def test_the_last_state_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(last_state, "EVERY_S", 0.01)
    path = tmp_path / "state" / "last.toml"
    controls, said = Controls(threshold=0.4, vocals_gain=-math.inf, mask=1), []
    with StateKeeper(controls, said.append, path):
        until = time.monotonic() + 20
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.005)
        assert load_last_state(path).values == controls.chosen()  # while it plays: a crash loses nothing
        controls.bypass = 1
    again = Controls()
    resume(again, said.append, path)
    assert again.snapshot() == controls.snapshot()
    assert again.moved_by("bypass") == "last state"
    assert said == []


@pytest.mark.parametrize("by", ["", OUTPUT, "view", last_state.BY])
def test_a_balance_that_nobody_has_set_is_not_stored(tmp_path, by):
    controls = Controls()
    if by:
        controls.set("balance", 0.5, by)
    with StateKeeper(controls, pytest.fail, tmp_path / "last.toml"):
        pass
    again = Controls()
    resume(again, pytest.fail, tmp_path / "last.toml")
    assert again.moved_by("balance") == ("" if by in ("", OUTPUT) else last_state.BY)
    assert again.moved_by("threshold") == last_state.BY


def test_of_two_sessions_with_one_file_the_last_one_to_end_counts(tmp_path):
    path = tmp_path / "last.toml"
    longer = StateKeeper(Controls(threshold=0.4), pytest.fail, path)
    longer._write()
    with StateKeeper(Controls(vocals_mute=1), pytest.fail, path):
        pass
    longer.close()
    assert load_last_state(path).values == Controls(threshold=0.4).chosen()


def test_a_state_is_written_only_when_it_changes(tmp_path, monkeypatch):
    controls, writes = Controls(), []
    monkeypatch.setattr(last_state, "write_whole", lambda *what: writes.append(what))
    keeper = StateKeeper(controls, pytest.fail, tmp_path / "last.toml")
    for value in (0.0, 0.0, 0.5, 0.5):
        controls.threshold = value
        keeper._write()
    assert len(writes) == 2


def test_a_session_that_could_not_start_leaves_the_state_before_it(tmp_path):
    path = tmp_path / "last.toml"
    with StateKeeper(Controls(gate=0.5), pytest.fail, path):
        pass
    with pytest.raises(RuntimeError), StateKeeper(Controls(), pytest.fail, path):
        raise RuntimeError("no device")
    assert load_last_state(path).values["gate"] == 0.5


@pytest.mark.parametrize("text", ["threshold = ", "treshold = 0.4", "", "\0"])
def test_a_broken_state_is_told_and_ignored(tmp_path, text):
    path = tmp_path / "last.toml"
    path.write_text(text)
    controls, said = Controls(), []
    resume(controls, said.append, path)
    assert controls.snapshot() == Controls().snapshot()
    assert len(said) == 1
    assert said[0].startswith(f"cannot resume, starting with the defaults: {path}, line 1: ")


def test_without_a_state_it_says_so(tmp_path):
    said = []
    resume(Controls(), said.append, tmp_path / "none.toml")
    assert said == ["nothing to resume: no session has played here yet"]


def test_a_state_that_cannot_be_written_is_told_once(tmp_path):
    (tmp_path / "file").write_text("no folder")
    controls, said = Controls(), []
    keeper = StateKeeper(controls, said.append, tmp_path / "file" / "last.toml")
    keeper._write()
    controls.gate = 0.5
    keeper._write()
    assert len(said) == 1
    assert "cannot write the last state" in said[0]


def test_without_a_thread_the_controls_are_stored_at_the_end(tmp_path, no_threads):
    said: list[str] = []
    controls = Controls()
    with StateKeeper(controls, said.append, tmp_path / "last.toml") as keeper:
        controls.gate = 0.5
        keeper._write()
    (line,) = said
    assert line.startswith("the controls are stored at the end alone: ")
    assert "raise the limit of processes" in line
    assert "gate = 0.5" in (tmp_path / "last.toml").read_text()
