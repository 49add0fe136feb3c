"""The C clients beside the session: one that counts what the machine loses, one that measures the latency."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtsep.bench.plain import build
from tests.e2e.jackserver import die_with_parent

CLICKS = Path(__file__).with_name("clicks.c")


class Beside:
    """A C client that answers lines; from any thread. One that is not there answers nothing."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._asking = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        if command:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env=dict(environment), preexec_fn=die_with_parent,
            )  # fmt: skip

    def ask(self, line: str = "") -> dict[str, Any]:
        """Return the answer; {} without one."""
        if self._process is None:
            return {}
        assert self._process.stdin and self._process.stdout
        with self._asking:
            try:
                self._process.stdin.write(f"{line}\n")
                self._process.stdin.flush()
                return dict(json.loads(self._process.stdout.readline()))
            except (OSError, ValueError):
                return {}

    def close(self) -> None:
        """End it."""
        if self._process is None:
            return
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.close()
            self._process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def build_all(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Build both; return the commands of clicks and plain client ([]: there is none), and why."""
    clicks, why_clicks = build(folder, CLICKS)
    plain, why_plain = build(folder)
    reasons = [f"no latency is measured: {why_clicks}"] if why_clicks else []
    reasons += [f"no plain client beside it: {why_plain}"] if why_plain else []
    return clicks, plain, reasons
