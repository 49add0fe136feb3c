"""Folders and files of a session, as programs with another working folder see them; refused attachments."""

from __future__ import annotations

import threading

import pytest

import rtsep
from rtsep.errors import UsageError
from rtsep.surfaces.remote.link import Link
from rtsep.surfaces.remote.messages import Record, Refused
from tests.cli.program import assert_refused, rtsep_here
from tests.waiting import until


def test_takes_have_whole_paths(server, session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # of the session: it runs in this process
    with rtsep.attach(server.name) as remote:
        assert remote.start_recording("takes") == str(tmp_path / "takes")
        remote.stop_recording()
        session.start_recording("own")  # as `--record own` does
        assert remote.recording["folder"] == str(tmp_path / "own")
        until(lambda: remote.recording["seconds"] > 0)
        assert f"{tmp_path / 'own' / 'vocals.wav'}" in remote.stop_recording()
        assert {path.parent for path in remote.recordings[-1].values()} == {tmp_path / "own"}
        assert remote.read().input.startswith("/")


def test_an_empty_folder_is_refused_everywhere(server, session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_refused(rtsep_here("set", "--session", server.name, "record", ""), 2, "an empty path")
    with rtsep.attach(server.name) as remote, pytest.raises(UsageError, match="an empty path"):
        remote.start_recording("")
    with Link(server.name) as link:
        link.send(Record(id=link.new_id(), folder=""))
        while not isinstance(answer := link.receive(), Refused):
            pass
        assert "an empty path" in answer.why
    with pytest.raises(UsageError, match="an empty path"):
        rtsep.Session("demo", record="")
    assert session.recording is None and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate", [-1, 100, float("nan")])
def test_a_rate_out_of_range_is_refused_and_leaves_nothing(server, rate):
    before = threading.active_count()
    with pytest.raises(UsageError, match=r"out of range; 0 to 60 Hz"):
        rtsep.attach(server.name, rate=rate)
    assert threading.active_count() == before
