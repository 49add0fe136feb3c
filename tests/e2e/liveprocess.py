"""`rtsep live` as a user starts it: a process of its own, its JSON lines, its standard error, its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

START_PATIENCE_S = 240.0  # the first start compiles
PATIENCE_S = 30.0
FAULTS = ("underruns", "overruns", "device_xruns")
"""Counters that tell of frames lost on the way; a late mask loses none."""

Line = dict[str, Any]


class LiveProcess:
    """`python -m rtsep live ARGUMENTS --headless --json` in `environment`."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rtsep", "live", *arguments, "--headless", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment if environment is not None else dict(os.environ),
        )
        self.lines: list[Line] = []  # standard output so far
        self.said: list[str] = []  # standard error so far
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(
                target=self._read, args=(self._process.stdout, self.lines, json.loads), daemon=True
            ),
            threading.Thread(
                target=self._read, args=(self._process.stderr, self.said, str.rstrip), daemon=True
            ),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: Any, kept: list[Any], parse: Callable[[str], Any]) -> None:
        for text in pipe:
            with self._news:
                kept.append(parse(text))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    # --- waiting -----------------------------------------------------------------------------------

    def wait_for(self, there: Callable[[], Any], what: str, patience: float = PATIENCE_S) -> Any:
        """Wait until `there()` is true and return it; fail where the process ends first."""
        until = time.monotonic() + patience
        with self._news:
            while not (found := there()):
                left = until - time.monotonic()
                over = self._process.poll() is not None and not any(
                    reader.is_alive() for reader in self._readers
                )
                if left <= 0 or over:
                    why = f"ended with {self._process.poll()}" if over else f"waited {patience:.0f} s"
                    raise AssertionError(
                        f"{what}: {why}\nstandard error: {self.said}\nlast lines: {self.lines[-2:]}"
                    )
                self._news.wait(min(left, 0.2))
            return found

    def playing(self) -> Line:
        """Wait until it plays; return the first line in that state."""
        return self.wait_line(lambda line: line["state"] == "playing", "it should play", START_PATIENCE_S)

    def wait_line(
        self, fits: Callable[[Line], bool], what: str, patience: float = PATIENCE_S, since: int = 0
    ) -> Line:
        """Wait for a line, the `since`th or a later one, that `fits`; return the first."""

        def first() -> Line | None:
            return next((line for line in self.lines[since:] if fits(line)), None)

        found: Line = self.wait_for(first, what, patience)
        return found

    def fresh(self) -> Line:
        """Wait for the next line and return it."""
        return self.wait_line(lambda _: True, "a JSON line a second", since=len(self.lines))

    def wait_said(self, part: str, patience: float = PATIENCE_S) -> str:
        """Wait for a line with `part` on standard error; return it."""
        found: str = self.wait_for(
            lambda: next((s for s in self.said if part in s), None), f"'{part}'", patience
        )
        return found

    def forget(self, lines: int, said: int) -> None:
        """Keep only so many of the latest lines: of a process that plays for hours."""
        with self._news:
            del self.lines[:-lines]
            del self.said[:-said]

    # --- ending ------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def exit_code(self, patience: float = PATIENCE_S) -> int:
        """Wait for its end; return the exit code."""
        code = self._process.wait(patience)
        for reader in self._readers:
            reader.join(5)
        return code

    def end(self, how: int = signal.SIGINT) -> Line:
        """Have it end as Ctrl-C does; return the final line."""
        self.send(how)
        return self.final()

    def final(self, patience: float = PATIENCE_S) -> Line:
        """Wait for its regular end; return the final line."""
        code = self.exit_code(patience)
        assert code == 0, f"exit code {code}\nstandard error: {self.said}"
        assert self.lines and self.lines[-1].get("final"), f"no final line: {self.lines[-1:]}"
        return self.lines[-1]

    def kill(self) -> None:
        """Make sure that it is gone."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def no_jack() -> dict[str, str]:
    """Return an environment in which no JACK server is found, not even the machine's own."""
    return os.environ | {
        "JACK_DEFAULT_SERVER": "rtsep-test-none",
        "JACK_NO_START_SERVER": "1",
        "PIPEWIRE_NOJACK": "1",
    }


def faults(line: Line) -> int:
    """Return how often frames were lost."""
    return sum(int(line[name]) for name in FAULTS)
