"""Places of sockets: private folders, names in use, sockets of ended sessions, long paths."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rtsep.errors import OutputError, UsageError
from rtsep.surfaces.remote import place
from tests.cli.program import ROOT


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "sockets"
    monkeypatch.setenv(place.ELSEWHERE, str(folder))
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_and_socket_are_the_users_alone(folder):
    before = os.umask(0)
    try:
        claimed = place.claim("stage")
    finally:
        os.umask(before)
    assert claimed.path == folder / "stage.sock"
    assert (mode(folder), mode(claimed.path)) == (0o700, 0o600)
    assert place.playing() == ["stage"]
    claimed.close()
    claimed.close()
    assert list(folder.iterdir()) == []
    assert place.connect("stage") is None


def test_a_folder_of_others_is_refused(folder):
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(OutputError, match="not a private folder of this user; remove it, or 'chmod 700' it"):
        place.claim()
    assert place.playing() == []
    folder.rmdir()
    folder.symlink_to("/")
    with pytest.raises(OutputError, match="will not find this session"):
        place.claim()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(folder):
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(OutputError, match="not a private folder of this user"):
        place.claim()


def test_a_folder_that_cannot_be_made_is_said(folder, monkeypatch):
    monkeypatch.setenv(place.ELSEWHERE, "/proc/nowhere/sockets")
    with pytest.raises(OutputError, match="'rtsep attach', 'get' and 'set' will not find this session"):
        place.claim()
    assert place.playing() == []


def test_the_runtime_folder_comes_before_the_temporary_one(tmp_path, monkeypatch):
    monkeypatch.delenv(place.ELSEWHERE)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert place.folders()[0] == tmp_path / "rtsep"
    assert place.folders()[-1].name == f"rtsep-{os.geteuid()}"
    claimed = place.claim("here")
    assert claimed.path == tmp_path / "rtsep" / "here.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert tmp_path / "rtsep" not in place.folders()
    claimed.close()


def test_a_name_that_is_taken(folder):
    first = place.claim()
    second = place.claim()
    assert (first.name, second.name) == ("default", "default-2")
    with pytest.raises(UsageError, match="'default' is already running; choose another name with --session"):
        place.claim("default")
    first.close()
    assert place.playing() == ["default-2"]
    again = place.claim()
    assert again.name == "default"
    again.close()
    second.close()


@pytest.mark.parametrize("name", ["../x", "a/b", "", "-x", "x" * 33, "a b", "é", "a\n"])
def test_names_that_are_none(folder, name):
    with pytest.raises(UsageError, match="a name must have 1 to 32"):
        place.check_name(name)


def test_two_that_start_at_once_never_share_a_name(folder):
    for _ in range(10):
        claims: list[place.Claim] = []
        begin = threading.Barrier(8)

        def take(begin=begin, claims=claims):
            begin.wait()
            claims.append(place.claim())

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        names = sorted(claimed.name for claimed in claims)
        assert names == sorted(["default", *(f"default-{n}" for n in range(2, 9))])
        assert place.playing() == names
        for claimed in claims:
            claimed.close()


def test_the_socket_of_a_killed_session_makes_room(folder):
    code = """if True:
        from rtsep.surfaces.remote import place
        its = place.claim("dead")
        print("there", flush=True)
        input()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "there\n"
    assert place.playing() == ["dead"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "dead.sock").exists()
    assert place.playing() == []  # and nobody but the next of that name removes it
    claimed = place.claim("dead")
    assert place.playing() == ["dead"]
    claimed.close()


def test_what_is_no_socket_is_none(folder):
    folder.mkdir(mode=0o700)
    (folder / "file.sock").write_text("")
    (folder / "folder.sock").mkdir()
    assert place.playing() == []
    claimed = place.claim("file")
    assert place.playing() == ["file"]
    claimed.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_path_longer_than_an_address(tmp_path, monkeypatch):
    folder = tmp_path / ("long" * 20) / ("longer" * 20)
    folder.parent.mkdir(parents=True)
    monkeypatch.setenv(place.ELSEWHERE, str(folder))
    claimed = place.claim("far")
    assert len(str(claimed.path)) > 108
    assert place.playing() == ["far"]
    found = place.connect("far")
    assert isinstance(found, socket.socket)
    found.close()
    claimed.close()
    assert list(folder.iterdir()) == []
