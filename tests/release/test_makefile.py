"""What `make` would run: only the lines are looked at."""

from __future__ import annotations

import shutil
import subprocess
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
