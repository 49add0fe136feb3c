"""The tests marked `jack`, in shares that run side by side, each on servers of its own.

    python -m tests.e2e.in_shares --shares 5

    --shares 5    how many, each a pytest of its own
    ARGUMENTS     for pytest, such as tests/e2e/test_midi.py

Such a test waits for servers more than it computes. What each takes stands in durations.json, so that
the shares end together; a test that is not there counts as an average one. `--shares 1 --store-durations`
measures again.
Prints each line of each share, with its number. The exit code is the first one that is not 0.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.jackserver import die_with_parent
from tests.e2e.liveprocess import ROOT
from tests.e2e.repeat_under_load import JACK_TESTS
from tests.repeats import jack_files

# Not by pytest-xdist: a repeat there has ended whole runs with an internal error (pytest-xdist issue 1178).
_OPTIONS = ("-v", "-rRfE")
_DURATIONS = ("--durations-path", str(Path(__file__).with_name("durations.json")))


def run_share(number: int, shares: int, arguments: Sequence[str]) -> int:
    """Run share `number` of `shares`, from 1, and print its lines; return the exit code of pytest."""
    dealt = ("--splits", str(shares), "--group", str(number), "--splitting-algorithm", "least_duration")
    process = subprocess.Popen(
        [*JACK_TESTS, *_OPTIONS, *_DURATIONS, *dealt, *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        preexec_fn=die_with_parent,
    )  # fmt: skip
    assert process.stdout
    with process.stdout as lines:
        for line in lines:
            print(f"{number}| {line}", end="", flush=True)
    return process.wait()


def run_again_if_killed(number: int, shares: int, arguments: Sequence[str]) -> int:
    """Run a share; run it once more if a signal ended its pytest, and print a line about that.

    libjack has crashed in a client of the tests themselves: no test fails then, and none of the rest is run.
    """
    code = run_share(number, shares, arguments)
    if code < 0:
        print(f"{number}| signal {-code} ended this share; it is repeated once", flush=True)
        code = run_share(number, shares, arguments)
    return code


def main(words: Sequence[str] | None = None) -> int:
    """Run all shares; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shares", type=int, default=5)
    options, arguments = parser.parse_known_args(words)
    numbers = range(1, options.shares + 1)
    chosen = arguments or jack_files(ROOT / "tests")
    with ThreadPoolExecutor(options.shares) as pool:
        codes = list(pool.map(lambda number: run_again_if_killed(number, options.shares, chosen), numbers))
    none = int(pytest.ExitCode.NO_TESTS_COLLECTED)
    ran = [code for code in codes if code != none] or [none]  # few tests may leave a share without one
    return next((code for code in ran if code), 0)


if __name__ == "__main__":
    sys.exit(main())
