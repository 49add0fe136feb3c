"""The same again, with other examples each time, and sixteen times as many."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import ROOT

PATIENCE_S = 3600.0


@pytest.mark.long
def test_with_many_other_examples():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "not long", "-p", "no:cacheprovider", Path(__file__).parent],
        cwd=ROOT, env=os.environ | {"RTSEP_HYPOTHESIS": "thorough"}, capture_output=True, text=True,
        timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:]
