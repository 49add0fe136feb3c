"""The tests marked `jack`, many times over while other processes eat the cores.

    python -m tests.e2e.repeat_under_load --runs 10

    --runs 10           how many times
    --side-by-side 2    how many runs at a time, each with servers of its own
    --busy 2            loops that use a core each, all the while (the default: as many as there are cores)
    --folder DIR        where the output of each run is kept
    ARGUMENTS           for pytest, such as tests/e2e/test_midi.py

Prints a table with a line for each run: the tests that passed, failed, were repeated or skipped, the time and
the processor time. The exit code is 1 if a run has failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.jackserver import die_with_parent
from tests.e2e.liveprocess import ROOT
from tests.repeats import jack_files

JACK_TESTS = (sys.executable, "-m", "pytest", "-m", "jack and not long", "-p", "no:cacheprovider")
"""The command of the tests on a JACK server, as far as `make test` runs them."""

COUNTED = ("passed", "failed", "error", "rerun", "skipped")
HEAD = "run  passed failed repeated skipped  minutes  core minutes"


@dataclass
class Run:
    """One run of the tests."""

    number: int
    log: Path
    code: int
    minutes: float
    core_minutes: float  # of all its processes

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of tests that passed, failed and so on, from the last line of pytest."""
        found: dict[str, int] = dict.fromkeys(COUNTED, 0)
        for line in reversed(self.log.read_text().splitlines()):
            if parts := re.findall(rf"(\d+) ({'|'.join(COUNTED)})", line):
                return found | {name: int(count) for count, name in parts}
        return found

    @property
    def row(self) -> str:
        """A line of the table."""
        counts = self.counts
        failed = counts["failed"] + counts["error"]
        code = f"   exit code {self.code}" if self.code else ""
        return (
            f"{self.number:3}  {counts['passed']:6} {failed:6} {counts['rerun']:8} {counts['skipped']:7}  "
            f"{self.minutes:7.1f}  {self.core_minutes:12.1f}{code}"
        )

    @property
    def told(self) -> list[str]:
        """The lines of its output about tests that were repeated, failed or skipped."""
        text = self.log.read_text()
        _, _, summary = text.partition("repeated on a new server")
        repeated = [line for line in summary.splitlines() if line.startswith(("tests/", "    "))]
        return repeated + re.findall(r"^(?:FAILED|ERROR|SKIPPED).*", text, re.MULTILINE)


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Run `count` endless loops meanwhile."""
    command = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(command, preexec_fn=die_with_parent) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def run_once(number: int, folder: Path, arguments: Sequence[str]) -> Run:
    """Run the tests once, as run `number`, and print its line of the table."""
    log = folder / f"run-{number}.log"
    words = [*JACK_TESTS, "-rRfEs", *arguments]
    began = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(words, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    minutes, core_minutes = (time.monotonic() - began) / 60, (used.ru_utime + used.ru_stime) / 60
    run = Run(number, log, process.returncode, minutes, core_minutes)
    print("\n".join([run.row, *(f"       {line}" for line in run.told)]), flush=True)
    return run


def main(words: Sequence[str] | None = None) -> int:
    """Run and print; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--side-by-side", type=int, default=2)
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path)
    options, arguments = parser.parse_known_args(words)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="rtsep-jack-load-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(
        f"{options.runs} runs, {options.side_by_side} at a time, beside {options.busy} busy loops; {folder}"
    )
    print(HEAD, flush=True)
    chosen = arguments or jack_files(ROOT / "tests")
    with busy(options.busy), ThreadPoolExecutor(options.side_by_side) as pool:
        numbers = range(1, options.runs + 1)
        runs = list(pool.map(lambda number: run_once(number, folder, chosen), numbers))
    failed = sum(run.code != 0 for run in runs)
    repeats = sum(run.counts["rerun"] for run in runs)
    print(f"{len(runs)} runs: {failed} failed, {repeats} repeats in all")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
