"""PulseAudio as a desktop has it: a private daemon, `parec` and `pacat` as the other clients."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.e2e.exact import noise
from tests.e2e.liveprocess import ROOT, LiveProcess
from tests.e2e.pulseserver import MICROPHONE, RATE, SPEAKERS, PulseServer, differs, share_found
from tests.waiting import until

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
def live(server: PulseServer) -> Iterator[Any]:
    """Starts `rtsep live` on that server."""
    with ExitStack() as stack:

        def start(*arguments: object) -> LiveProcess:
            process = LiveProcess(*map(str, arguments), environment=server.environment)
            stack.callback(process.kill)
            return process

        yield start


def plays(process: LiveProcess, since: int = 0) -> None:
    """Wait until hops go by: a server whose device sleeps plays later than it opens."""
    first = process.wait_line(lambda line: line["state"] == "playing", "it should play", 240, since)
    process.wait_line(lambda line: line["hops"] > first["hops"] + 50, "hops should go by", since=since)


def test_sinks_sources_and_defaults_are_listed(server):
    server.add_sink("low", 22050)  # the last one listed
    done = subprocess.run(
        [sys.executable, "-m", "rtsep", "devices", "--json"],
        cwd=ROOT, env=server.environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    listing = json.loads(done.stdout)
    by_name = {row["name"]: row for row in listing["devices"] if row["api"] == "PulseAudio"}
    assert {SPEAKERS, MICROPHONE, f"Monitor of {SPEAKERS}"} <= set(by_name)
    assert listing["out"] == by_name[SPEAKERS]["index"]
    assert listing["mic"] == by_name[MICROPHONE]["index"]
    assert (by_name[SPEAKERS]["outputs"], by_name[SPEAKERS]["inputs"]) == (2, 0)
    assert (by_name[SPEAKERS]["rate"], by_name["low"]["rate"]) == (RATE, 22050)


def test_the_demo_plays_on_the_default_sink_to_the_sample_and_ends(server, live, tmp_path):
    recorder = server.record()
    process = live(
        "--in", "demo", "--out", "vocals", "--seconds", 4, "--record", tmp_path / "take", "--subtype", "FLOAT"
    )
    final = process.final(240)
    assert not [line for line in process.said if "stopped answering" in line]
    assert [line for line in process.said if "by PulseAudio" in line and SPEAKERS in line]
    assert final["latency_ms"]["total"] - final["latency_ms"]["algorithm"] <= 100
    vocals, _ = soundfile.read(tmp_path / "take" / "vocals.wav", dtype="float32", always_2d=True)
    assert len(vocals) == 4 * RATE
    sounding = vocals[np.flatnonzero(np.abs(vocals[:, 0]) > 1e-3)[0] :]
    assert share_found(sounding, recorder.end()) > 0.8  # a busy machine may lose some


def test_a_microphone_is_captured_to_the_sample_and_played(server, live, tmp_path):
    sound = np.ascontiguousarray(0.3 * noise(RATE * 60))
    server.play_into_microphone(sound)
    recorder = server.record()
    process = live(
        "--in", "mic", "--out", "mix", "--seconds", 4, "--record", tmp_path / "take", "--subtype", "FLOAT"
    )
    final = process.final(240)
    assert final["latency_ms"]["total"] - final["latency_ms"]["algorithm"] <= 100
    assert final["drift_ppm"] is not None  # a clock for each of the two
    taken, _ = soundfile.read(tmp_path / "take" / "mix.wav", dtype="float32", always_2d=True)
    assert share_found(taken[RATE:], sound) > 0.8, differs(taken[RATE:], sound, RATE // 2)
    assert np.sqrt(np.mean(recorder.end() ** 2)) > 0.01


def test_a_device_is_named_by_description_or_by_the_servers_own_name(server, live):
    server.add_sink("second")
    process = live("--in", f"Monitor of {SPEAKERS}", "--out-device", "second", "--out", "mix", "--seconds", 1)
    process.final(240)
    process = live("--in", f"{SPEAKERS}.monitor", "--out-device", "nothing")
    assert process.exit_code(120) == 3
    assert any("'nothing'" in line and SPEAKERS in line for line in process.said)


def test_a_server_that_ends_is_waited_for_and_played_on_again(server, live):
    process = live("--in", "demo", "--seconds", 100)
    plays(process)
    server.stop()
    process.wait_said("the sound server has ended; waiting")
    lines = len(process.lines)
    server.start()
    process.wait_said("is back; playback continues")
    plays(process, lines)
    process.end()


def test_a_sink_that_leaves_is_waited_for_by_its_name(server, live):
    """The server would play us on another sink meanwhile: not what was asked for."""
    server.add_sink("headset")
    process = live("--in", "demo", "--out-device", "headset", "--seconds", 100)
    plays(process)
    server.remove_sink("headset")
    process.wait_said("headset has disappeared")
    lines = len(process.lines)
    server.add_sink("headset")
    process.wait_said("is back; playback continues")
    plays(process, lines)
    process.end()


def test_a_user_may_move_the_stream_and_it_plays_on_and_waits_there(server, live):
    server.add_sink("second")
    process = live("--in", "demo", "--out", "mix", "--seconds", 100)
    plays(process)
    recorder = server.record("second")
    ours = until(lambda: server.listing("sink-inputs"), "a stream of ours").split("\t")[0]
    assert ours.isdigit()
    server.control("move-sink-input", ours, "second")
    until(lambda: np.abs(recorder.sound).max(initial=0) > 0.01, "the other sink should sound")
    process.wait_said(f"was moved from {SPEAKERS} to second")
    assert not [line for line in process.said if "waiting" in line]
    server.remove_sink("second")
    process.wait_said("second has disappeared")
    lines = len(process.lines)
    server.add_sink("second")
    process.wait_said("second is back; playback continues")
    plays(process, lines)
    process.end()
