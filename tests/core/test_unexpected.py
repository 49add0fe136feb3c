"""Unexpected errors: one line, a file with the details, and an exit code of their own."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rtsep import unexpected
from rtsep.errors import INTERRUPTED, UNEXPECTED
from rtsep.realtime.child_process import command_of
from tests.cli.program import ROOT
from tests.waiting import until

LINE = re.compile(r"rtsep: unexpected error(?: in .*?)?: (?P<said>.*); the details are in (?P<file>/.*\.txt)")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of the details."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(unexpected, "_known", set())
    for hooks, name in ((threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(hooks, name, getattr(hooks, name))
    return tmp_path / "state" / "rtsep" / "errors"


def fails(words: str = "no\nmatter") -> int:
    raise ZeroDivisionError(words)


def told(capfd) -> re.Match[str]:
    """Return the only line on standard error."""
    (line,) = capfd.readouterr().err.splitlines()
    found = LINE.fullmatch(line)
    assert found, line
    return found


def test_an_exception_is_one_line_a_file_and_a_code(capfd, folder):
    assert unexpected.guarded(fails) == UNEXPECTED
    found = told(capfd)
    assert found["said"] == "ZeroDivisionError: no"
    (file,) = folder.iterdir()
    assert file == Path(found["file"])
    assert file.stat().st_mode & 0o777 == 0o600
    details = file.read_text()
    assert "Traceback" in details and "no\nmatter" in details and "rtsep " in details.splitlines()[2]


def test_what_ends_in_order_passes():
    assert unexpected.guarded(lambda: None) == 0
    assert unexpected.guarded(lambda: 3) == 3
    with pytest.raises(SystemExit):
        unexpected.guarded(lambda: sys.exit(4))
    with pytest.raises(KeyboardInterrupt):
        unexpected.guarded(lambda: (_ for _ in ()).throw(KeyboardInterrupt))


def test_words_of_any_kind_are_one_short_line(capfd):
    unexpected.guarded(lambda: fails("\x1b[2J\udcff" + 5000 * "x"))
    assert len(told(capfd)["said"]) <= 300


def test_one_place_is_told_once(capfd, folder):
    for _ in range(5):
        unexpected.guarded(fails)
    told(capfd)
    assert len(list(folder.iterdir())) == 1


def test_only_the_newest_files_stay(capfd, folder):
    folder.mkdir(parents=True)
    for number in range(unexpected.KEPT):
        (folder / f"error-20000101-0000{number:02}-1-1.txt").touch()
    (folder / "other.txt").touch()
    unexpected.guarded(fails)
    assert Path(told(capfd)["file"]).exists()
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == unexpected.KEPT + 1 and "other.txt" in left
    assert "error-20000101-000000-1-1.txt" not in left


def test_where_nothing_can_be_written_it_is_said_how_to_see_more(capfd, monkeypatch):
    monkeypatch.setattr(unexpected, "_folders", lambda: iter([Path("/dev/null/errors")]))
    unexpected.guarded(fails)
    assert capfd.readouterr().err.endswith("; RTSEP_TRACEBACK=1 prints the details\n")


def test_without_a_home_the_details_lie_in_a_temporary_folder(capfd, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    unexpected.guarded(fails)
    assert Path(told(capfd)["file"]).is_relative_to(tmp_path)


def test_details_are_printed_for_whoever_asks(capfd, monkeypatch):
    monkeypatch.setenv(unexpected.SHOW, "1")
    unexpected.guarded(fails)
    assert "Traceback" in capfd.readouterr().err


def test_a_thread_and_what_can_be_raised_nowhere_are_told_likewise(capfd):
    class Dies:
        def __del__(self) -> None:
            raise ValueError("on the way out")

    unexpected.watch()
    thread = threading.Thread(target=fails, name="worker")
    thread.start()
    thread.join()
    del thread
    assert told(capfd)["said"] == "ZeroDivisionError: no"
    Dies()
    assert told(capfd)["said"] == "ValueError: on the way out"


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(7)])
def test_an_end_that_a_callback_has_swallowed_is_raised_all_the_same(capfd, end):
    def ends() -> None:
        raise end

    def stays() -> None:
        for _ in range(40):
            time.sleep(0.005)

    unexpected.watch()
    callback = ctypes.CFUNCTYPE(None)  # LLVM calls back in this way while it compiles
    with pytest.raises(type(end)) as raised:
        callback(ends)()
        callback(stays)()  # it comes in here, and is swallowed once more
        until(lambda: False, "it should have been raised", 20.0)
    assert getattr(raised.value, "code", None) == getattr(end, "code", None)
    assert capfd.readouterr().err == ""


# --- processes ----------------------------------------------------------------------------------------------

BREAKS = """
import runpy, sys
from rtsep.surfaces import presets

def broken(self):
    raise LookupError("nobody has foreseen this")

presets.Presets.load_all = presets.Presets.names = broken
sys.argv = ["rtsep", "presets"]
runpy.run_module("rtsep", run_name="__main__", alter_sys=True)
"""


def process(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


def test_the_command_line_ends_with_one_line():
    run = process(sys.executable, "-c", BREAKS)
    assert run.returncode == UNEXPECTED, run
    found = LINE.fullmatch(run.stderr.strip())
    assert found and found["said"] == "LookupError: nobody has foreseen this"
    assert "in broken" in Path(found["file"]).read_text()


# `rtsep models` where a module is missing, or a Ctrl-C comes as it is imported.
BEGINS_BADLY = """
import importlib.abc, runpy, sys

module, what = sys.argv[1:]

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            raise KeyboardInterrupt

if what == "missing":
    sys.modules[module] = None
else:
    sys.meta_path.insert(0, Finder())
sys.argv = ["rtsep", "models"]
runpy.run_module("rtsep", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("module", ["rtsep.files.names", "rtsep.cli.models", "platformdirs", "rich.table"])
def test_an_import_that_fails_is_one_line_with_the_remedy(module, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    run = process(sys.executable, "-c", BEGINS_BADLY, module, "missing")
    assert run.returncode == UNEXPECTED, run
    found = LINE.fullmatch(run.stderr.strip())
    assert found, run.stderr
    assert re.search(rf"Error: .*{re.escape(module)}.*; install rtsep again: python -m pip", found["said"])
    assert "Traceback" in Path(found["file"]).read_text()


def test_an_interrupt_while_it_is_imported_is_one_like_any_other():
    run = process(sys.executable, "-c", BEGINS_BADLY, "rtsep.cli.main", "interrupted")
    assert (run.returncode, run.stderr) == (INTERRUPTED, "rtsep: interrupted\n")


def test_a_process_of_ours_ends_with_one_line():
    run = process(*command_of("tests.core.test_unexpected"))
    assert run.returncode == UNEXPECTED, run
    found = LINE.fullmatch(run.stderr.strip())
    assert found and "in tests.core.test_unexpected: " in found.string
    assert found["said"] == "ZeroDivisionError: no"


main = fails  # of the process


def test_a_limit_that_is_reached_is_told_with_the_remedy(capfd, folder):
    def full():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    unexpected.guarded(full)
    assert "raise the limit of open files: ulimit -n 1024" in capfd.readouterr().err
