"""The commands of `make`, and its treatment of Python environments, without installing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INDEX = "https://download.pytorch.org/whl/cpu"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


def lines(*words: str, code: int = 0) -> list[str]:
    """Return what `make WORDS` would run in a clone where nothing is installed."""
    command = ["make", "--no-print-directory", "-n", *words, "VENV=nowhere"]  # `make test` may have called us
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode == 0) == (code == 0), run.stderr
    return (run.stdout if code == 0 else run.stderr).splitlines()


def installs(*words: str) -> list[str]:
    return [line.split("install", 1)[1] for line in lines(*words) if "-m pip install" in line]


def test_live_installs_rtsep_with_the_torch_that_is_tested():
    (line,) = installs("live")
    assert "-c constraints.txt" in line
    assert line.endswith("-e '.'")
    assert INDEX not in line


def test_live_ends_with_the_line_that_puts_rtsep_on_the_path():
    assert lines("live")[-1] == 'echo "To use rtsep in this shell: . nowhere/bin/activate"'


@pytest.mark.parametrize("target", ["live", "setup"])
def test_torch_for_processors_comes_first_and_from_its_own_index(target):
    torch, own = installs(target, "TORCH=cpu")
    assert torch.endswith(f"--index-url {INDEX} torch")
    assert "-c constraints.txt" in torch
    assert INDEX not in own
    assert "-e '." in own


def test_midi_is_built_where_that_is_wanted():
    (line,) = installs("live", "MIDI=yes")
    assert line.endswith("-e '.[midi]'")
    headers = [line for line in lines("live", "MIDI=yes") if "libasound2-dev" in line]
    assert len(headers) == 1
    assert not [line for line in lines("live") if "libasound2-dev" in line]


@pytest.mark.parametrize("word", ["TORCH=gpu", "MIDI=no"])
def test_another_value_is_refused(word):
    assert word in lines("live", word, code=2)[0]


# --- the environment --------------------------------------------------------------------------------

PYTHON = """#!/bin/sh
# Python, but for environments: their pip only says that it was called, or there is none (no python3-venv).
case "$1 $2" in
  "-c "*implementation*) echo "{identity}"; exit 0;;
  "-m venv")
    "{real}" -m venv --without-pip "$3" || exit 1
    if [ "{whole}" = yes ]; then
      for there in "$3"/lib/python*/site-packages; do
        mkdir "$there/pip"; touch "$there/pip/__init__.py"
        echo "print('pip was called')" > "$there/pip/__main__.py"
      done
      exit 0
    fi
    echo "ensurepip is not available" >&2; exit 1;;
esac
exec "{real}" "$@"
"""
IDENTITY = f"{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with what `make setup` needs, and Pythons to make environments with."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    pythons = (("whole", "yes", IDENTITY), ("half", "no", IDENTITY), ("newer", "yes", "cpython-3.99"))
    for name, whole, identity in pythons:
        (tmp_path / name).write_text(PYTHON.format(real=sys.executable, whole=whole, identity=identity))
        (tmp_path / name).chmod(0o755)
    return tmp_path


def setup(clone: Path, python: str, code: int = 0) -> str:
    """Run `make setup` with one of the Pythons; return its output."""
    command = ["make", "--no-print-directory", "setup", f"PYTHON={clone / python}"]
    plain = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "PYTHONPATH")}
    run = subprocess.run(command, cwd=clone, env=plain, capture_output=True, text=True)
    assert (run.returncode == 0) == (code == 0), run.stdout + run.stderr
    return run.stdout + run.stderr


def test_an_environment_that_could_not_be_made_is_not_left_behind(clone):
    said = setup(clone, "half", code=2)
    assert "apt-get install python3-venv" in said
    assert not (clone / ".venv").exists()
    assert "pip was called" in setup(clone, "whole")
    assert "pip was called" not in setup(clone, "whole")


def test_half_an_environment_of_an_earlier_try_is_made_again(clone):
    subprocess.run([clone / "half", "-m", "venv", clone / ".venv"], check=False, capture_output=True)
    (clone / ".venv" / ".live").touch()
    said = setup(clone, "whole")
    assert "making .venv again" in said and "pip was called" in said
    assert not (clone / ".venv" / "bin" / "pip").exists()  # pip is a fake here


def test_a_whole_environment_from_before_the_stamps_is_kept(clone):
    subprocess.run([clone / "whole", "-m", "venv", clone / ".venv"], check=True)
    (clone / ".venv" / ".dev").touch()
    assert "pip was called" not in setup(clone, "whole")
    assert "pip was called" not in setup(clone, "whole")


def test_another_python_gets_an_environment_of_its_own(clone):
    setup(clone, "whole")
    (clone / ".venv" / "of the first").touch()
    said = setup(clone, "newer")
    assert "making .venv again" in said and "pip was called" in said
    assert not (clone / ".venv" / "of the first").exists()
    assert "pip was called" not in setup(clone, "newer")


def test_an_environment_whose_python_has_gone_is_made_again(clone):
    setup(clone, "whole")
    for link in (clone / ".venv" / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/nonexistent/python")
    said = setup(clone, "whole")
    assert "making .venv again" in said and "pip was called" in said
    assert "pip was called" not in setup(clone, "whole")


def test_a_folder_that_is_no_environment_is_never_removed(clone):
    (clone / ".venv").mkdir()
    (clone / ".venv" / "mine").touch()
    assert "move it to another place" in setup(clone, "whole", code=2)
    assert (clone / ".venv" / "mine").exists()
