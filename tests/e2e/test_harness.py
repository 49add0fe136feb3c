"""The measuring gear itself: a cable between player and recorder adds nothing and loses nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.exact import ATTEMPTS, noise

pytestmark = pytest.mark.jack


@pytest.mark.parametrize("period", [64, 256])
def test_a_cable_is_exact_and_has_no_delay(start_server, open_studio, period):
    server = start_server(period=period)
    studio = open_studio(server, outputs=2, inputs=2)
    studio.patch(["recorder:in_1", "recorder:in_2"], [])
    played = noise(44100)
    for _ in range(ATTEMPTS):
        take = studio.take(played, 1000)
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
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert run.returncode == -signal.SIGKILL
    left = Path(f"/proc/{run.stdout.strip()}/stat")
    until = time.monotonic() + 10
    while left.exists() and left.read_text().split(")")[1].split()[0] != "Z":
        assert time.monotonic() < until, "the server is still there"
        time.sleep(0.05)
