"""Set up once, on a private PulseAudio daemon: named devices come back, and a missing one is reported."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.program import Outcome, rtsep
from tests.e2e.pulseserver import MICROPHONE, SPEAKERS, PulseServer

pytestmark = pytest.mark.skipif(
    shutil.which("pulseaudio") is None, reason="needs pulseaudio and pulseaudio-utils"
)


@pytest.fixture
def server() -> Iterator[PulseServer]:
    with ExitStack() as stack:
        server = PulseServer()
        stack.callback(server.remove)
        yield server


@pytest.fixture
def user(server: PulseServer, tmp_path: Path) -> dict[str, str]:
    """The environment of a user of that server who has set up nothing yet."""
    folders = {name: str(tmp_path / name) for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    return server.environment | folders


def played(outcome: Outcome) -> str:
    """Return the line with the input and the output."""
    assert outcome.code == 0, outcome
    assert outcome.json[-1]["hops"] > 0
    (title,) = [line for line in outcome.said if ", model live; latency:" in line]
    return title.partition(", model")[0]


@pytest.mark.long
def test_devices_that_were_named_once_come_back_and_one_that_is_gone_is_told(server, user):
    server.add_sink("headphones")
    live = ("live", "--seconds", "0.5", "--json")
    first = played(rtsep(*live, "--in", MICROPHONE, "--out-device", "headphones", **user))
    assert MICROPHONE in first
    assert "headphones" in first
    assert played(rtsep(*live, "--resume", **user)) == first
    assert SPEAKERS in played(rtsep(*live, **user))  # nothing is used again that was not asked for

    rtsep(*live, "--in", MICROPHONE, "--out-device", "headphones", **user)
    assert rtsep("config", "set", "out_device", "last", **user).code == 0
    assert "headphones" in played(rtsep(*live, **user))
    server.remove_sink("headphones")
    without = rtsep(*live, **user)
    assert SPEAKERS in played(without)
    (line,) = [line for line in without.said if "of the last session is not used" in line]
    assert "'headphones'" in line


def test_the_doctor_finds_the_server_and_its_devices(server, user):
    (report,) = rtsep("doctor", "--json", **user).json
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["sound devices"]["state"] == "ok"
    assert MICROPHONE in checks["sound devices"]["seen"]
    assert SPEAKERS in checks["sound devices"]["seen"]
    assert checks["sample rates"]["state"] == "ok"
    assert checks["way to the default output"]["state"] == "ok"
    assert checks["PulseAudio's library"]["state"] == "ok"
