"""64 frames a call while the same process spins in Python and allocates: no more is missed than by plain C.

RTSEP_TORTURE_SECONDS (20) is how long. Both clients are on one server at the same time; both counts are
printed (pytest -s).
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest

from rtsep.bench.plain import build
from tests.e2e.liveprocess import ROOT

pytestmark = pytest.mark.jack

SECONDS = float(os.environ.get("RTSEP_TORTURE_SECONDS", "20"))
PERIOD, RATE, HOP = 64, 44100, 256
ATTEMPTS = 3
SKEW = 0.01
"""Counts are read one after the other, by a Python thread that has to wait for the two busy ones."""


@pytest.fixture
def plain_client(tmp_path) -> list[str]:
    """The command of a client in C; without a compiler, of the same in compiled Python."""
    command, _ = build(tmp_path)
    return [*(command or (sys.executable, "-m", "tests.e2e.plain_client")), "plain"]


class Beside:
    """A process that answers lines, gone at the end."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self) -> dict[str, int]:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return dict(json.loads(self.line()))

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()


def minute(server, plain_command: list[str]) -> tuple[dict, dict]:
    """Return what a tortured session and a plain client on `server` count in the same time."""
    with Beside(plain_command, server.environment) as plain:
        assert plain.ask()["calls"] >= 0
        torture = [sys.executable, "-m", "tests.e2e.torture", str(SECONDS)]
        with Beside(torture, server.environment) as live:
            assert live.line() == "begin\n"
            before = plain.ask()
            counted = json.loads(live.line())
            after = plain.ask()
    return counted, {name: after[name] - before[name] for name in ("calls", "xruns", "skipped")}


@pytest.mark.long  # the soak compares with such a client, too
def test_no_hop_is_missed_beyond_what_a_c_client_misses(start_server, plain_client, record_property):
    server = start_server(period=PERIOD, rate=RATE)
    for _ in range(ATTEMPTS):
        live, plain = minute(server, plain_client)
        print(
            f"\n{SECONDS:g} s at {PERIOD} frames, Python busy:\n  rtsep        {live}\n  plain client {plain}"
        )
        record_property("torture", {"rtsep": live, "plain": plain})
        # A stalled processor hits one or the other: two counts of rare events differ by their spread.
        allowed = plain["xruns"] + math.ceil(3 * math.sqrt(plain["xruns"] + 1))
        assert live["overruns"] == 0
        assert live["calls"] >= (1 - SKEW) * plain["calls"] - plain["xruns"]
        assert live["hops"] >= (1 - SKEW) * live["calls"] * PERIOD / HOP - allowed
        if live["underruns"] <= allowed:
            return
    raise AssertionError(f"rtsep was late {live['underruns']} times, allowed {allowed}: {live}; {plain}")
