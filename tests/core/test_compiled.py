"""Compiled code: a damaged file is compiled again, and a folder that cannot be written gives way."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import pytest

from rtsep import folders, sealed
from rtsep.compiled import VARIABLE, fingerprint, use_cache
from tests.compiled_once import ROOT

SOURCE = """
from numba import cfunc, njit, types

@njit(cache=True)
def add(a, b):
    return a + b

@cfunc(types.int64(types.int64), cache=True)
def twice(a):
    return a + a
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Return what loads a module of ours with compiled functions, as a new process would."""
    source = tmp_path / "probe.py"
    source.write_text(SOURCE)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))

    def load() -> object:
        spec = importlib.util.spec_from_file_location("rtsep.probe", source)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)  # numba looks for it there
        spec.loader.exec_module(module)
        assert module.add(2, 3) == 5 and module.twice.ctypes(4) == 8
        return module

    return load


def hits(module) -> tuple[int, int]:
    """Return how many of the functions came from the cache."""
    return sum(module.add.stats.cache_hits.values()), int(module.twice.cache_hits)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def without_seal(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -sealed._SEAL.size])


@pytest.mark.parametrize("end", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [empty, cut, zeros, changed, without_seal])
def test_a_damaged_file_is_compiled_again(load, tmp_path, damage, end):
    assert hits(load()) == (0, 0)
    assert hits(load()) == (1, 1)
    files = list((tmp_path / "cache").rglob(f"*.{end}"))
    assert len(files) == 2
    for file in files:
        damage(file)
    assert hits(load()) == (0, 0)
    assert hits(load()) == (1, 1)


def test_a_folder_in_the_place_of_a_file_costs_no_more_than_the_time_to_compile(load, tmp_path):
    load()
    for file in (tmp_path / "cache").rglob("*.nb?"):
        folder(file)
    load()
    assert hits(load()) == (0, 0)


def test_a_frozen_program_and_its_child_processes_share_what_is_compiled(load, monkeypatch):
    load()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert hits(load()) == (1, 1)
    monkeypatch.setattr(sys, "executable", "/opt/app")
    load()  # compiles: numba asks for the file of the program


def test_a_process_that_chooses_no_folder_seals_its_files_too(tmp_path):
    """As those of `rtsep file -j 2`: they inherit the folder, and begin in the middle of the package."""
    code = "import numpy as np; from rtsep.dsp import shift; shift.copy_row(np.zeros(2), np.zeros(2))"
    environment = os.environ | {VARIABLE: str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)
    files = [*tmp_path.rglob("*.nb?")]
    assert files and all(sealed._is_whole(file) for file in files)


def test_functions_of_other_programs_keep_numbas_own_files(load, tmp_path, monkeypatch):
    source = tmp_path / "probe.py"
    spec = importlib.util.spec_from_file_location("somebody.probe", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.add(2, 3) == 5
    files = [*(tmp_path / "cache").rglob("*.nbc")]
    assert files and not any(sealed._is_whole(file) for file in files)


@pytest.fixture
def before_numba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in a process that has not imported numba yet; returns the temporary folder."""
    monkeypatch.delitem(sys.modules, "numba")
    monkeypatch.setenv(VARIABLE, "")  # set again in the end, whatever happens to it
    monkeypatch.setattr(folders.tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("given", ["", "/proc", "/dev/null/cache"])
def test_where_the_cache_cannot_be_written_the_temporary_folder_serves(before_numba, monkeypatch, given):
    monkeypatch.setenv(VARIABLE, given)
    note = use_cache(None if given else Path("/proc/rtsep"))
    (found,) = before_numba.iterdir()
    assert os.environ[VARIABLE] == str(found / fingerprint())
    assert found.stat().st_mode & 0o777 == 0o700
    assert str(found) in note and "cannot be written" in note and VARIABLE in note and "\n" not in note


def test_a_temporary_folder_that_others_can_write_is_not_taken(before_numba):
    """They could plant code there."""
    use_cache(Path("/proc/rtsep"))
    (found,) = before_numba.iterdir()
    found.chmod(0o777)
    os.environ[VARIABLE] = ""
    note = use_cache(Path("/proc/rtsep"))
    assert VARIABLE not in os.environ
    assert "each start compiles" in note


def test_without_any_folder_functions_are_compiled_each_time(load, monkeypatch):
    caching = sys.modules["numba.core.caching"]
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert hits(load()) == (0, 0)
    assert hits(load()) == (0, 0)


@pytest.mark.parametrize(
    ("variables", "file", "remedy"),
    [
        ({"NUMBA_NUM_THREADS": "0"}, "", "unset NUMBA_NUM_THREADS"),
        ({}, "num_threads: 0\n", "remove .*numba_config.yaml"),
        ({"NUMBA_DISABLE_JIT": "1"}, "", "turn it on again"),
        ({}, "disable_jit: 1\n", "turn it on again"),
    ],
    ids=range(4),
)
def test_settings_that_numba_refuses_are_one_line_with_the_remedy(tmp_path, variables, file, remedy):
    if file:
        pytest.importorskip("yaml")  # without it, numba reads no file
        (tmp_path / ".numba_config.yaml").write_text(file)
    said = program(["live", "--headless"], tmp_path, variables, code=9)
    assert re.fullmatch(rf"rtsep: numba, the compiler, .*{remedy}\n", said)


def test_a_setting_that_numba_ignores_is_a_warning_without_a_traceback(tmp_path):
    said = program(["models"], tmp_path, {"NUMBA_OPT": "fast"}, code=0)
    assert "'NUMBA_OPT'" in said and "Traceback" not in said


def program(words, folder, variables, code):
    """Run `rtsep` in `folder`; return its standard error."""
    run = subprocess.run(
        [sys.executable, "-m", "rtsep", *words],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)} | variables, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == code, run.stderr
    return run.stderr
