"""The virtual sink on PipeWire reports its latency; a picture stays in step with the sound."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e import in_step, pipewirepulse
from tests.e2e.jackserver import die_with_parent
from tests.e2e.liveprocess import ROOT, LiveProcess
from tests.e2e.pulseserver import SPEAKERS
from tests.waiting import running, until

_NO_MPV = [name for name in in_step.PROGRAMS if shutil.which(name) is None]

pytestmark = [
    pytest.mark.jack,
    pytest.mark.skipif(bool(pipewirepulse.missing()), reason=f"needs {', '.join(pipewirepulse.missing())}"),
]

NAME = "told"
TOLD_S = 0.4
NEAR_S = 0.05  # two periods of 1024 frames, and a bit
IN_STEP_S = 0.02
CLICKS = 9

HOLD = f"""
import sys
from rtsep.audio import pipewire_sink
assert pipewire_sink.is_possible()
sink = pipewire_sink.PipeWireSink({NAME!r}, "a sink", {{"rtsep.role": "test"}})
print("made", flush=True)
for line in sys.stdin:
    sink.report_latency(float(line))
sink.close()
"""


@pytest.fixture
def server() -> Iterator[pipewirepulse.PipeWirePulse]:
    with ExitStack() as stack:
        server = pipewirepulse.PipeWirePulse()
        stack.callback(server.remove)
        yield server


@pytest.fixture
def holder(server) -> Iterator[subprocess.Popen[str]]:
    """A program that has made the sink NAME; each line is a latency to tell."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, env=server.environment | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    assert process.stdout and process.stdin
    assert process.stdout.readline() == "made\n"
    until(lambda: f"{NAME}.monitor" in server.listing("sources"), "the sink should be there")
    yield process
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        stream.close()


class Player:
    """A `pacat` that plays silence on the sink and prints the reported latency."""

    def __init__(self, server: pipewirepulse.PipeWirePulse) -> None:
        with Path("/dev/zero").open("rb") as silence:
            self.process = subprocess.Popen(
                ["pacat", "-v", "-d", NAME, "--latency-msec=40"], env=server.environment,
                stdin=silence, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        assert self.process.stderr
        os.set_blocking(self.process.stderr.fileno(), False)
        self._said = b""

    def latency(self) -> float | None:
        """Return the newest latency, in s; None as long as it has said none."""
        assert self.process.stderr
        self._said += self.process.stderr.read() or b""
        told = re.findall(rb"Latency: (\d+) usec", self._said)
        return int(told[-1]) / 1e6 if told else None

    def until_between(self, low: float, high: float) -> None:
        """Wait until the latency is in this range, in s."""
        until(lambda: low < (self.latency() or 0.0) < high, f"{low} to {high} s should be told of")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_players_are_told_what_the_session_tells(server, holder):
    assert '"test"' in server.control("list", "sinks")
    assert server.listing("sink-inputs") == ""  # what the sink leads into is nobody's player
    player = Player(server)
    try:
        player.until_between(0.0, 0.2)
        before = player.latency()
        assert before is not None
        holder.stdin.write(f"{TOLD_S}\n")
        player.until_between(before + TOLD_S - NEAR_S, before + TOLD_S + NEAR_S)
        holder.stdin.write("0.1\n")
        player.until_between(0.1 - NEAR_S, before + 0.1 + NEAR_S)
    finally:
        player.close()
    holder.stdin.close()
    assert holder.wait(20) == 0
    until(lambda: NAME not in server.listing("sinks"), "the sink should go with its program")


@pytest.mark.long
def test_the_sink_goes_with_a_program_that_is_killed(server, holder):
    children = [
        int(pid)
        for pid in subprocess.run(
            ["pgrep", "-P", str(holder.pid)], capture_output=True, text=True
        ).stdout.split()
    ]
    assert children
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    until(lambda: NAME not in server.listing("sinks"), "the sink should go with its program")
    until(lambda: not any(map(running, children)), "and its process")


@pytest.mark.long
@pytest.mark.skipif(bool(_NO_MPV), reason=f"needs {', '.join(_NO_MPV)}")
def test_a_picture_stays_in_step(server, tmp_path):
    film = tmp_path / "film.mkv"
    in_step.make_film(film)

    def behind() -> float:
        played = in_step.Film(server, film, SPEAKERS, tmp_path)
        try:
            played.behind(3)  # mpv finds its pace
            return played.behind(CLICKS)
        finally:
            played.close()

    straight = behind()
    live = LiveProcess(
        "--in", "system", "--out", "mix", environment=server.environment | {"XDG_STATE_HOME": str(tmp_path)}
    )
    try:
        live.playing()
        assert abs(behind() - straight) <= IN_STEP_S, live.said
        live.end(signal.SIGTERM)
    finally:
        live.kill()
