"""Resources of the sound server that a session holds, if they cannot be stored."""

from __future__ import annotations

import os

import pytest

from rtsep import folders
from rtsep.errors import OutputError
from rtsep.session.held import Held


def test_without_a_home_nothing_is_left_and_taking_is_refused_by_a_line(monkeypatch):
    monkeypatch.setattr(folders, "state", lambda: folders.NOWHERE)
    held = Held("players")
    assert not held.is_left and held.left is None
    with pytest.raises(OutputError, match=r"players\.lock: cannot be written: this user has no home folder"):
        held.take()


@pytest.fixture
def state(monkeypatch, tmp_path):
    """A state folder of the test's own."""
    monkeypatch.setattr(folders, "state", lambda: tmp_path / "state")
    return tmp_path / "state"


def test_one_session_at_a_time_has_it_and_the_refusal_names_the_other(state):
    first, second = Held("players"), Held("players")
    assert first.take() and not second.take()
    assert "this one" in str(second.refusal("moves the players"))
    (state / "players.lock").write_text("4711\n", encoding="utf-8")
    assert "process 4711" in str(second.refusal("moves the players"))
    first.release()
    first.release()  # a second time, do nothing
    assert second.take()
    second.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")
def test_a_fork_that_lives_on_holds_nothing(state):
    held, other = Held("players"), Held("players")
    assert held.take()
    (begins, begun), (told, tell) = os.pipe(), os.pipe()
    if (fork := os.fork()) == 0:
        held.release()  # as a fork that clears away what it has
        os.write(begun, b".")
        os.close(tell)
        os.read(told, 1)  # until the test has looked
        os._exit(0)
    os.close(told)
    os.read(begins, 1)
    try:
        assert not other.take(), "the fork has released nothing of its parent's"
        held.release()
        assert other.take(), "the fork has no copy of the lock"
        other.release()
    finally:
        for descriptor in (tell, begins, begun):
            os.close(descriptor)
        assert os.waitpid(fork, 0)[1] == 0


def test_what_is_kept_is_read_again_and_a_damaged_file_is_none(state):
    held = Held("players")
    assert held.take()
    held.keep({"default": "speakers"})
    assert Held("players").left == {"default": "speakers"}
    (state / "players.json").write_text("{", encoding="utf-8")
    assert held.is_left and held.left is None
    held.clear()
    assert not held.is_left
    held.release()
