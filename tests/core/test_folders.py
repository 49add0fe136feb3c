"""Users without a home, or with one that cannot be reached: nothing is found there, and all else works."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from rtsep import folders
from rtsep.cli.main import main
from rtsep.cli.systemd import unit_path
from rtsep.controls import Controls
from rtsep.doctor.storage import user_folders, writable
from rtsep.errors import OutputError
from rtsep.session.options import LiveOptions
from rtsep.surfaces.last_devices import DevicesKeeper, load_last_devices
from rtsep.surfaces.last_state import StateKeeper, load_last_state
from rtsep.surfaces.presets import Preset, Presets

pytestmark = pytest.mark.skipif(os.name != "posix", reason="homes of POSIX")


def nobody(_: int) -> None:
    raise KeyError("uid not found")


@pytest.fixture(params=["unknown", "a device", "barred"])
def homeless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    if request.param == "a device":
        monkeypatch.setenv("HOME", "/dev/null")
    if request.param == "barred":  # the home of another user; those who run as root would reach any
        monkeypatch.setenv("HOME", "/root")
        stat = Path.stat

        def barred(path: Path, **how: bool) -> os.stat_result:
            if "/root" in map(str, path.parents):
                raise PermissionError(13, "Permission denied")
            return stat(path, **how)

        monkeypatch.setattr(Path, "stat", barred)


def test_nothing_is_found_and_nothing_fails(homeless: None) -> None:
    assert Presets().names() == []
    assert load_last_devices() == {}
    with pytest.raises(FileNotFoundError):
        load_last_state()


def test_what_cannot_be_kept_is_said_in_one_line(homeless: None) -> None:
    said: list[str] = []
    devices = DevicesKeeper(lambda: (LiveOptions(), "a", "b", False), said.append)
    with StateKeeper(Controls(), said.append, also=devices):
        pass
    assert len(said) == 1 and "cannot write" in said[0] and "--resume" in said[0], said
    with pytest.raises(OutputError, match="cannot write"):
        Presets().save(Preset("loud", {"vocals_gain": 3.0}))


@pytest.mark.parametrize("words", [["models"], ["presets"], ["config"], ["get", "level"]])
def test_commands_work_all_the_same(
    homeless: None, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(words)
    assert code in ((8,) if words[0] == "get" else (0,)), capsys.readouterr()


def test_an_unknown_home_is_told_by_the_doctor_and_by_whoever_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert folders.config() == folders.NOWHERE
    with pytest.raises(OutputError, match=r"no home folder .* set HOME"):
        Presets().save(Preset("loud", {"vocals_gain": 3.0}))
    assert "set HOME" in folders.reason(unit_path("default"), NotADirectoryError(20, "Not a directory"))
    found = [finding for place in user_folders()[1:] for finding in writable(place)]
    assert len(found) == 2 and all("HOME" in finding.remedy for finding in found)


def test_without_a_temporary_folder_memory_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a container whose file system cannot be written."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/none"])
    monkeypatch.setattr(folders, "_IN_MEMORY", tmp_path)
    folders.settle_temporary()
    assert tempfile.gettempdir() == str(tmp_path)
