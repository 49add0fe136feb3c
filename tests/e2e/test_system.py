"""The sound of other programs as input: it passes through rtsep until the end or a kill."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import pipewirepulse
from tests.e2e.exact import noise
from tests.e2e.liveprocess import ROOT, LiveProcess
from tests.e2e.pulseserver import RATE, SPEAKERS, PulseServer
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    shutil.which("pulseaudio") is None, reason="needs pulseaudio and pulseaudio-utils"
)

SINK, MICROPHONE = "rtsep", "rtsep_microphone"


@pytest.fixture(params=["PulseAudio", pytest.param("PipeWire", marks=pytest.mark.long)])
def server(request: pytest.FixtureRequest) -> Iterator[PulseServer]:
    if request.param == "PipeWire" and (lacks := pipewirepulse.missing()):
        pytest.skip(f"needs {', '.join(lacks)}")
    with ExitStack() as stack:
        server = PulseServer() if request.param == "PulseAudio" else pipewirepulse.PipeWirePulse()
        stack.callback(server.remove)
        server.add_sink("second")
        yield server


@pytest.fixture
def environment(server: PulseServer, tmp_path: Path) -> dict[str, str]:
    return server.environment | {"XDG_STATE_HOME": str(tmp_path)}


def sinks(server: PulseServer) -> dict[str, str]:
    """Return the names of all sinks by number."""
    rows = (line.split("\t") for line in server.listing("sinks").splitlines())
    return {row[0]: row[1] for row in rows}


def places(server: PulseServer) -> dict[str, str]:
    """Return the sink of every stream by the number of the stream."""
    names = sinks(server)
    rows = (line.split("\t") for line in server.listing("sink-inputs").splitlines())
    return {row[0]: names.get(row[1], "?") for row in rows}


def default(server: PulseServer) -> str:
    found = [line for line in server.control("info").splitlines() if line.startswith("Default Sink")]
    return found[0].split(": ")[1] if found else ""


def play(server: PulseServer) -> str:
    """Let a player play noise on the default sink; return its number."""
    server.play_on(SPEAKERS, np.ascontiguousarray(0.3 * noise(RATE * 300)))
    return next(iter(until(lambda: places(server), "a player should play")))


def test_players_go_through_rtsep_and_come_back_at_the_end(server, environment):
    player = play(server)
    live = LiveProcess("--in", "system", "--out", "mix", environment=environment)
    try:
        live.playing()
        until(lambda: places(server).get(player) == SINK, "the player should be taken")
        assert default(server) == SINK
        ours = next(number for number in until(lambda: places(server)) if number != player)
        until(lambda: places(server).get(ours) == SPEAKERS, "our output should be on the loudspeakers")
        recorder = server.record()
        until(lambda: np.abs(recorder.sound).max(initial=0) > 0.1, "it should be audible")

        server.control("move-sink-input", ours, SINK)  # feedback
        live.wait_said("would feed output back")
        until(lambda: places(server).get(ours) == SPEAKERS, "it should be moved back")

        server.control("set-default-sink", "second")
        live.wait_said("playback continues there")
        until(lambda: places(server).get(ours) == "second", "the new default should be followed")
        until(lambda: default(server) == SINK, "the virtual sink should be the default again")
        until(lambda: places(server).get(player) == SINK, "the player should stay")

        second = LiveProcess("--in", "system", environment=environment)
        assert second.exit_code(120) == 3
        assert any("already" in line for line in second.said)
        live.end(signal.SIGTERM)
    finally:
        live.kill()
    assert default(server) == "second"
    assert places(server) == {player: "second"}
    assert SINK not in sinks(server).values()


@pytest.mark.long
def test_another_input_leaves_players_and_keeps_the_output(server, environment, tmp_path):
    environment |= {"RTSEP_SOCKETS": str(tmp_path)}

    def switch_to(input: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "rtsep", "set", "in", input],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    live = LiveProcess("--in", "system", "--out", "mix", environment=environment)
    try:
        live.playing()
        until(lambda: default(server) == SINK and places(server), "the players should be captured")
        switch_to("demo")
        assert list(places(server).values()) == [SPEAKERS]
        assert default(server) == SPEAKERS
        assert SINK not in sinks(server).values()
        (ours,) = places(server)
        server.control("move-sink-input", ours, "second")
        live.wait_said("it continues there")
        switch_to("demo")
        assert list(places(server).values()) == ["second"]
        switch_to("system")
        until(lambda: default(server) == SINK, "the players should be captured")
        server.control("set-default-sink", SPEAKERS)  # the same: no other choice
        until(lambda: default(server) == SINK, "the players should be captured")
        assert list(places(server).values()) == ["second"]
        recorder = server.record("second")
        server.play_on(SINK, np.ascontiguousarray(0.3 * noise(RATE * 60)))
        until(lambda: np.abs(recorder.sound).max(initial=0) > 0.1, "it should be audible")
        live.end(signal.SIGTERM)
    finally:
        live.kill()
    assert default(server) == SPEAKERS


def test_one_program_is_waited_for_and_given_back_after_a_kill(server, environment):
    live = LiveProcess("--in", "app:pacat", "--out", "mix", environment=environment)
    try:
        live.wait_said("waiting for it", 120)
        live.playing()
        server.play_on("second", np.ascontiguousarray(0.3 * noise(RATE * 300)))
        until(lambda: SINK in places(server).values(), "the player should be taken")
        assert default(server) == SPEAKERS
        player = next(number for number, sink in places(server).items() if sink == SINK)
        live.kill()
    finally:
        live.kill()
    # On PipeWire the sink has gone with the session, and the server leads players to the default one.
    until(lambda: places(server).get(player) in (SINK, SPEAKERS), "the player should still play")
    done = subprocess.run(
        [sys.executable, "-m", "rtsep", "system", "restore"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "back on their outputs" in done.stdout
    until(lambda: places(server) == {player: "second"}, "it should be where it was")
    assert SINK not in sinks(server).values()


def test_a_virtual_microphone_is_there_while_it_plays(server, environment):
    before = sinks(server)
    live = LiveProcess("--in", "demo", "--as-microphone", environment=environment)
    try:
        live.playing()
        assert MICROPHONE in server.listing("sources")
        recorder = server.record_source(MICROPHONE)
        until(lambda: np.abs(recorder.sound).max(initial=0) > 0.01, "the voice should be captured")
        live.end()
    finally:
        live.kill()
    assert MICROPHONE not in server.listing("sources")
    assert sinks(server) == before
