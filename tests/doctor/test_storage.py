"""Folders: missing, not writable, full."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest

from rtsep.doctor import storage


class Room(NamedTuple):
    free: int


def full(_: Path) -> Room:
    return Room(2**20)


def user_folder(path: Path) -> storage.UserFolder:
    return storage.UserFolder("cache folder", path, 200, "every start compiles", "NUMBA_CACHE_DIR")


def test_shared_memory(tmp_path):
    assert storage.shared_memory(tmp_path, lambda _: Room(2**30))[0].state == "ok"
    (small,) = storage.shared_memory(tmp_path, full)
    assert (small.state, "remount" in small.remedy) == ("problem", True)
    (none,) = storage.shared_memory(tmp_path / "shm")
    assert (none.state, "mount" in none.remedy) == ("problem", True)


def test_shared_memory_that_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "write_error", lambda _: "Permission denied")
    (found,) = storage.shared_memory(tmp_path)
    assert (found.state, "chmod 1777" in found.remedy) == ("problem", True)


def test_a_folder_is_looked_at_and_left_as_it_is(tmp_path):
    (found,) = storage.writable(user_folder(tmp_path / "a" / "b"), lambda _: Room(2**30))
    assert found.state == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_under_a_file_cannot_be_written(tmp_path):
    (tmp_path / "a").write_text("")
    (found,) = storage.writable(user_folder(tmp_path / "a" / "b"))
    assert found.state == "problem"
    assert "every start compiles" in found.seen
    assert "NUMBA_CACHE_DIR" in found.remedy


def test_a_folder_below_a_barred_one_is_a_finding(tmp_path, monkeypatch):
    stat = os.stat

    def barred(path, *rest, **how):
        if str(path).startswith(f"{tmp_path}/"):
            raise PermissionError(13, "Permission denied")
        return stat(path, *rest, **how)

    monkeypatch.setattr(os, "stat", barred)
    monkeypatch.setattr(storage, "write_error", lambda _: "Permission denied")
    (found,) = storage.writable(user_folder(tmp_path / "a" / "b"))
    assert found.state == "problem" and str(tmp_path) in found.seen
    assert storage.shared_memory(tmp_path / "shm")[0].state == "problem"


def test_a_full_disk(tmp_path):
    (found,) = storage.writable(user_folder(tmp_path), full)
    assert (found.state, "free some space" in found.remedy) == ("problem", True)


@pytest.mark.parametrize(("there", "state"), [("/bin/x", "ok"), (None, "note")])
def test_programs(there, state):
    assert storage.programs(lambda _: there)[0].state == state


def test_the_folders_are_those_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert storage.user_folders()[0].path == tmp_path
