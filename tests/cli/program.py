"""`rtsep` as a user runs it: a process, its output and its end; or in the test's own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rtsep.cli.main import main
from rtsep.model import loader
from rtsep.offline import batch

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 240.0  # a first run compiles
_NO_JACK = {"JACK_DEFAULT_SERVER": "rtsep-test-none", "JACK_NO_START_SERVER": "1"}


@dataclass
class Outcome:
    """The end of a run."""

    code: int
    out: list[str]  # lines of standard output
    said: list[str]  # lines of standard error

    @property
    def json(self) -> list[dict[str, Any]]:
        """Standard output, read as one JSON object a line."""
        return [json.loads(line) for line in self.out]


def rtsep(*arguments: object, cwd: Path = ROOT, **environment: str) -> Outcome:
    """Run `rtsep ARGUMENTS` where no JACK server is to be found."""
    run = subprocess.run(
        [sys.executable, "-m", "rtsep", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",  # names may be no UTF-8
        timeout=PATIENCE_S,
        cwd=cwd,
        env=os.environ | _NO_JACK | {"PYTHONPATH": str(ROOT)} | environment,
    )
    return Outcome(run.returncode, run.stdout.splitlines(), run.stderr.splitlines())


def python(*arguments: str, patience_s: float = PATIENCE_S) -> str:
    """Run Python with `arguments` where no JACK server is to be found; return what it has printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | _NO_JACK,
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rtsep_here(*arguments: object, **environment: str) -> Outcome:
    """Run `rtsep ARGUMENTS` in this process: it saves a second of a core, and `live` that refuses three.

    For words whose answer comes before anything plays. A program that ends is started by `rtsep`.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape") as said,
        redirect_stdout(out),
        redirect_stderr(said),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {**_NO_JACK, **environment}.items():
            patch.setenv(name, value)
        try:
            code = main([*map(str, arguments)], prepare=False)
        except SystemExit as left:  # of the parser
            assert isinstance(left.code, int)
            code = left.code
        told = []
        for file in (out, said):
            file.seek(0)
            told.append(file.read().splitlines())
        return Outcome(code, *told)


def separate_here(*arguments: object) -> Outcome:
    """Run `rtsep file ARGUMENTS` in this process, its model too: it saves two seconds of a core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "load", lambda package, device: loader.load(package, device, own_thread=True))
        return rtsep_here("file", *arguments)


def assert_refused(outcome: Outcome, code: int, *parts: str) -> None:
    """Assert one line on standard error, with `parts` in it, nothing else, and the exit code `code`."""
    assert outcome.code == code, outcome
    assert outcome.out == []
    said = [line for line in outcome.said if "preparing" not in line]
    assert len(said) == 1, said
    assert said[0].startswith("rtsep"), said[0]
    for part in parts:
        assert part in said[0], f"'{part}' is not in: {said[0]}"
