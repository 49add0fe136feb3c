"""Freed memory stays with the process: the second large array needs no new pages."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
if sys.argv[1] == "kept":
    from train.memory import keep_freed_memory
    assert keep_freed_memory()
np.ones(16_000_000, np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    np.ones(16_000_000, np.float32)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Return the page faults of four arrays of 64 MB in a new process, after one of the same size."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    found = subprocess.run(
        [sys.executable, "-c", FAULTS, how],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    return int(found.stdout)


glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")


@glibc
def test_a_large_array_takes_the_pages_of_the_one_before() -> None:
    # With pages of 2 MB there are few faults either way, but never fewer than one for each array.
    assert faults("kept") < faults("returned") / 4


@glibc
def test_processes_that_are_started_keep_their_memory_too() -> None:
    code = (
        "import subprocess, sys; from train.memory import keep_freed_memory; keep_freed_memory();"
        "print(subprocess.run([sys.executable, '-c', sys.argv[1], 'returned'], capture_output=True,"
        " text=True, check=True).stdout)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    found = subprocess.run(
        [sys.executable, "-c", code, FAULTS], env=environment, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) < faults("returned") / 4
