"""The measuring gear itself: a cable adds and loses nothing, a failed test is repeated on a new server."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.e2e.exact import ATTEMPTS, noise
from tests.e2e.liveprocess import ROOT
from tests.repeats import REPEATS
from tests.waiting import running, until

pytestmark = pytest.mark.jack


@pytest.mark.parametrize("period", [64, 256])
def test_a_cable_is_exact_and_has_no_delay(start_server, open_player_recorder, period):
    server = start_server(period=period)
    player_recorder = open_player_recorder(server, outputs=2, inputs=2)
    player_recorder.patch(["recorder:in_1", "recorder:in_2"], [])
    played = noise(44100)
    for _ in range(ATTEMPTS):
        take = player_recorder.take(played, 1000)
        if take.clean:
            break
    assert take.clean
    np.testing.assert_array_equal(take.sound[:44100], played)
    assert not take.sound[44100:].any()


def test_no_server_outlives_its_test_process(start_server):
    code = (
        "import os, signal; from tests.e2e.jackserver import JackServer; server = JackServer();"
        "print(server._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == -signal.SIGKILL
    server = int(run.stdout)
    until(lambda: not running(server), "the server is still there")


PLANTED = """
import pytest
from pathlib import Path

def attempt(request, server):
    log = Path(__file__).with_name(request.node.name)
    with log.open("a") as lines:
        lines.write(f"{server._process.pid}\\n")
    return len(log.read_text().splitlines())

@pytest.mark.jack
def test_always(request, start_server):
    attempt(request, start_server())
    assert False, "a real fault"

@pytest.mark.jack
def test_once(request, start_server):
    assert attempt(request, start_server()) > 1, "a busy minute"

def test_without_the_mark(request, start_server):
    attempt(request, start_server())
    assert False, "elsewhere"
"""


def test_what_fails_is_repeated_on_new_servers_and_a_real_fault_fails(tmp_path):
    (tmp_path / "test_planted.py").write_text(PLANTED)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = jack: on a JACK server\n")
    plugins = ("-p", "tests.repeats", "-p", "tests.e2e.conftest", "-p", "no:cacheprovider")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-c", tmp_path / "pytest.ini", tmp_path],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    servers = {name: (tmp_path / name).read_text().split() for name in ("test_always", "test_once")}
    assert len(set(servers["test_always"])) == len(servers["test_always"]) == 1 + REPEATS
    assert len(set(servers["test_once"])) == len(servers["test_once"]) == 2
    assert len((tmp_path / "test_without_the_mark").read_text().split()) == 1
    assert "2 failed, 1 passed, 3 rerun" in run.stdout
    _, _, summary = run.stdout.partition("repeated on a new server")
    assert "test_planted.py::test_always: 2 of 2 repeats, failed in the end" in summary
    assert summary.count("    AssertionError: a real fault") == REPEATS
    assert "test_planted.py::test_once: 1 of 2 repeats, passed in the end" in summary
    assert "test_without_the_mark:" not in summary
