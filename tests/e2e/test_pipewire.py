"""PipeWire as a desktop has it, without `pw-jack`: found, followed through its changes, waited for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.e2e.liveprocess import LiveProcess
from tests.e2e.pipewireserver import MICROPHONE, SPARE, SPEAKERS, PipeWireServer, missing
from tests.waiting import until

pytestmark = [
    pytest.mark.jack,
    pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}"),
]

CHANGES = (("force-quantum", [128, 256, 512, 1024, 0]), ("force-rate", [44100, 48000]))
SIDES = ("L", "R")
INPUTS = {(f"{MICROPHONE}:capture_F{side}", f"rtsep:in_{k}") for k, side in enumerate(SIDES)}


def outputs(sink: str) -> set[tuple[str, str]]:
    return {(f"rtsep:vocals_{side}", f"{sink}:playback_F{side}") for side in SIDES}


LINKS = INPUTS | outputs(SPEAKERS)


@pytest.fixture
def server() -> Iterator[PipeWireServer]:
    with ExitStack() as stack:
        server = PipeWireServer()
        stack.callback(server.remove)
        yield server


@pytest.fixture
def live(server: PipeWireServer, half_model: Path) -> Iterator[LiveProcess]:
    """`rtsep live` from the microphone to the speakers, as it plays."""
    with ExitStack() as stack:
        process = LiveProcess(
            "--in", "mic", "--out", "vocals", "--model", str(half_model), environment=server.environment
        )
        stack.callback(process.kill)
        process.playing()
        goes_on(process)
        yield process


def goes_on(live: LiveProcess) -> dict[str, Any]:
    """Wait for hops from now on; return the first line that counts them."""
    first = live.fresh()
    return live.wait_line(lambda line: line["hops"] > first["hops"] + 20, "hops should go by")


def threads(live: LiveProcess) -> int:
    return len(list(Path(f"/proc/{live.pid}/task").iterdir()))


def test_it_is_found_without_pw_jack_and_follows_the_default_devices(server, live):
    assert live.wait_said("PipeWire's graph")
    until(lambda: server.links() >= LINKS, "it should be connected")
    server.choose_sink(SPARE)  # the user of a desktop
    live.wait_said(f"the default output is now '{SPARE}'")
    until(lambda: server.links() >= INPUTS | outputs(SPARE), "the new default should be followed")
    assert not server.links() & outputs(SPEAKERS)
    assert live.end()["state"] == "ended"


@pytest.mark.parametrize("changes", [12, pytest.param(100, marks=pytest.mark.long)])
def test_changes_of_quantum_and_rate_are_followed_in_place(server, live, changes, tmp_path):
    """The graph and a bystander go on, the client and its connections stay, and no thread is left behind."""
    bystander = server.record(tmp_path / "bystander.wav")
    server.change("allowed-rates", "[ 44100 48000 ]")
    until(lambda: server.links() >= LINKS, "it should be connected")
    before, began = threads(live), len(live.lines)
    random = np.random.default_rng(5)
    for _ in range(changes):
        name, values = CHANGES[int(random.integers(len(CHANGES)))]
        server.change(name, random.choice(values))
        goes_on(live)
    server.change("force-rate", 44100)
    server.change("force-quantum", 512)
    line = live.wait_line(
        lambda line: (line["rate"], line["block"]) == (44100, 512), "the last change", since=began
    )
    assert line["state"] == "playing"
    assert {line["state"] for line in live.lines[began:]} <= {"playing", "stopping", "opening"}
    assert server.links() >= LINKS
    until(lambda: threads(live) <= before, "no thread should be left behind")
    assert live.end()["model"]["restarts"] == 0
    before = (tmp_path / "bystander.wav").stat().st_size
    until(lambda: (tmp_path / "bystander.wav").stat().st_size > before, "the bystander should go on")
    assert bystander.poll() is None


def test_a_restart_is_waited_for(server, live):
    until(lambda: server.links() >= LINKS, "it should be connected")
    server.stop()
    live.wait_said("waiting for it to come back")
    server.start()
    live.wait_said("is back")
    goes_on(live)
    until(lambda: server.links() >= LINKS, "it should be connected again")
    assert live.end()["state"] == "ended"


def test_a_recording_goes_on_in_another_take_at_the_new_rate(server, half_model, tmp_path):
    server.change("allowed-rates", "[ 44100 48000 ]")
    server.change("force-rate", 48000)
    process = LiveProcess(
        *("--in", "mic", "--out", "vocals", "--model", str(half_model), "--record", str(tmp_path)),
        environment=server.environment,
    )
    try:
        process.playing()
        goes_on(process)
        server.change("force-rate", 44100)
        process.wait_line(lambda line: line["rate"] == 44100, "the new rate")
        goes_on(process)
        process.end()
    finally:
        process.kill()
    rates = [soundfile.info(folder / "vocals.wav").samplerate for folder in (tmp_path, tmp_path / "take-2")]
    assert rates == [48000, 44100]
