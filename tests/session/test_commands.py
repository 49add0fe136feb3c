"""Commands to the owner of a session: each has an outcome, whenever it comes and whatever else goes on."""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.audio.streams import Streams
from rtsep.controls import TABLE
from rtsep.errors import RtsepError
from rtsep.model.supervisor import ModelSupervisor
from rtsep.session import device_swap
from rtsep.session import live as live_module
from rtsep.session.states import ALLOWED, SessionState, transition
from tests.e2e.exact import noise
from tests.model.test_supervisor import wait_until
from tests.models import make_model

RATE = 44100
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "rtsep-test-none")
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "broken.pt").write_text("no model")
    return [
        make_model(folder / "half.pt", "half"),
        make_model(folder / "zeros.pt", "zeros", profile="stage"),
        make_model(folder / "nan.pt", "nan"),
        folder / "broken.pt",
    ]


@pytest.fixture
def songs(tmp_path) -> list[Path]:
    paths = [tmp_path / "first.wav", tmp_path / "second.wav"]
    for path in paths:
        soundfile.write(path, noise(60 * RATE), RATE, subtype="FLOAT")
    return paths


def children() -> set[int]:
    """Return the processes that this one has begun, but for one that waits for the next model."""
    found = set()
    for path in Path("/proc/self/task").glob("*/children"):
        found.update(int(word) for word in path.read_text().split())
    return found


def shared_files() -> set[Path]:
    """Return the files of shared memory that this process has made."""
    return set(Path("/dev/shm").glob(f"rtsep-{os.getpid()}-*"))


def open_files() -> list[str]:
    """Return what the file descriptors of this process lead to."""
    gc.collect()
    found = []
    for path in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(path.readlink()))
        except OSError:  # that of the folder itself
            continue
    return sorted(found)


def session_threads() -> list[str]:
    names = {"rtsep-session", "hop-loop", "virtual-device", "file-source", "recorder", "model-supervisor"}
    names |= {"model-loader", "model-closer", "device-finder", "compiler", "stopwatch"}
    return [thread.name for thread in threading.enumerate() if thread.name in names]


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


Outcomes = list[tuple[str, str]]


class Cable:
    """The cable of the devices, which can be pulled for a moment."""

    def __init__(self, monkeypatch) -> None:
        self._back_at = 0.0
        lost = property(lambda _: "it is unplugged" if time.monotonic() < self._back_at else None)
        monkeypatch.setattr(Streams, "lost", lost)
        monkeypatch.setattr(device_swap, "LOOK_AGAIN_S", 0.05)

    def pull(self) -> None:
        self._back_at = time.monotonic() + 0.1


def orders(
    session: rtsep.Session, cable: Cable, rng: random.Random, models, songs, folder
) -> dict[str, Callable[[], object]]:
    control = rng.choice(TABLE)
    return {
        "model": lambda: session.switch_model(rng.choice(models)),
        "input": lambda: session.switch_device(input=rng.choice([*songs, folder / "none.wav"])),
        "output": lambda: session.switch_device(out_device=rng.choice(["virtual", "no such card"])),
        "record": lambda: session.start_recording(folder / "takes"),
        "stop": session.stop_recording,
        "devices": session.devices,
        "stats": session.stats,
        "unplug": cable.pull,
        "control": lambda: setattr(session.controls, control.name, control.default),
    }


def play_at_random(cable: Cable, rng: random.Random, models, songs, folder) -> Outcomes:
    """Play; four threads give random commands, and one ends it. Return what became of each command."""
    outcomes: Outcomes = []
    session = rtsep.Session(songs[0], out_device="virtual", model=models[0])

    def command(rng: random.Random) -> None:
        while not session.is_over():
            name, order = rng.choice(list(orders(session, cable, rng, models, songs, folder).items()))
            try:
                order()
            except RtsepError as error:
                outcomes.append((name, str(error)))
            else:
                outcomes.append((name, "done"))
            time.sleep(rng.random() * 0.05)

    with session:
        threads = [
            threading.Thread(target=command, args=(random.Random(rng.random()),), daemon=True)
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        time.sleep(1.0 + 5.0 * rng.random())
        session.end()
        assert session.wait(PATIENCE_S)
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), f"a command has no outcome; the last ones: {outcomes[-5:]}"
    assert session.stats()["state"] == "ended"
    for take in session.recordings:
        (frames,) = {soundfile.info(path).frames for path in take.values()}
        assert frames > 0
    return outcomes


@linux
@pytest.mark.parametrize("attempt", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 10))])
def test_random_commands_from_several_threads_get_an_outcome_and_leave_nothing(
    models, songs, tmp_path, monkeypatch, attempt
):
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")  # shown where it fails
    made: list[tuple[SessionState, SessionState]] = []

    def noted(now: SessionState, to: SessionState) -> SessionState:
        made.append((now, to))
        return transition(now, to)

    monkeypatch.setattr(live_module, "transition", noted)
    processes, files, shared = children(), set(open_files()), shared_files()
    outcomes = play_at_random(Cable(monkeypatch), random.Random(seed), models, songs, tmp_path)
    print(f"{len(outcomes)} commands: {sorted(set(outcomes))}; {made}")
    assert {name for name, outcome in outcomes if outcome == "done"} >= {"stats", "control"}
    assert made[0] == (SessionState.STARTING, SessionState.PLAYING)
    assert made[-1][1] is SessionState.ENDED
    assert all(to in ALLOWED[now] for now, to in made)
    wait_until(lambda: not session_threads(), f"threads stay: {session_threads()}")
    wait_until(lambda: children() <= processes, "model processes should end")
    wait_until(lambda: set(open_files()) <= files, f"open: {set(open_files()) - files}")
    assert shared_files() <= shared


@linux
def test_the_end_while_a_model_is_loaded_leaves_no_process(models, songs, monkeypatch):
    processes, shared, loads = children(), shared_files(), threading.Event()
    whole = ModelSupervisor.start

    def start(self):
        loads.set()
        whole(self)

    refused: list[RtsepError] = []
    with rtsep.Session(songs[0], out_device="virtual", model=models[0]) as session:
        monkeypatch.setattr(ModelSupervisor, "start", start)

        def switch() -> None:
            with pytest.raises(RtsepError) as error:
                session.switch_model(models[1])
            refused.append(error.value)

        switching = threading.Thread(target=switch)
        switching.start()
        assert loads.wait(PATIENCE_S)
        session.end()
        assert session.wait(PATIENCE_S)
        switching.join(PATIENCE_S)
    assert str(refused[0]) == "the session ended before the switch"
    wait_until(lambda: not session_threads(), "threads stay")
    wait_until(lambda: children() <= processes, "model processes should end")
    assert shared_files() <= shared


@linux
def test_a_session_that_is_ended_while_it_gets_ready_does_so_at_once(models, songs, monkeypatch):
    processes, loads, go_on = children(), threading.Event(), threading.Event()
    spawn = ModelSupervisor._spawn

    def spawn_late(self):  # the end comes before there is a process to end
        loads.set()
        assert go_on.wait(PATIENCE_S)
        spawn(self)

    monkeypatch.setattr(ModelSupervisor, "_spawn", spawn_late)
    session = rtsep.Session(songs[0], out_device="virtual", model=models[0])
    starting = threading.Thread(target=session.start)
    starting.start()
    assert loads.wait(PATIENCE_S)
    session.end()
    starting.join(PATIENCE_S)
    assert not starting.is_alive()
    assert session.stats()["state"] == "ended" and session.stats()["hops"] == 0
    go_on.set()
    session.close()
    wait_until(lambda: not session_threads(), "threads stay")
    wait_until(lambda: children() <= processes, "model processes should end")


def test_a_recording_that_waits_for_its_disk_holds_nothing_else_up(models, songs, tmp_path, monkeypatch):
    from tests.session.disk import stall

    with rtsep.Session(songs[0], out_device="virtual", model=models[0]) as session:
        stalled, go_on = stall(monkeypatch)
        session.start_recording(tmp_path / "slow")
        assert stalled.wait(PATIENCE_S)
        files: list[object] = []
        stopping = threading.Thread(target=lambda: files.append(session.stop_recording()))
        stopping.start()
        wait_until(lambda: session.recording is None, "the take should end")
        assert session.devices() is not None  # the owner answers
        assert stopping.is_alive() and session.recordings == []
        go_on.set()
        stopping.join(PATIENCE_S)
        assert files == session.recordings != []
        mix = soundfile.read(files[0]["mix"])[0]  # type: ignore[index]
        assert np.abs(mix).max() > 0


def test_commands_wait_for_the_start(models, songs, tmp_path):
    """A program may open a session, ask for a take, and start: the take has the first frame."""
    session = rtsep.Session(songs[0], out_device="virtual", model=models[0], subtype="FLOAT")
    session.open()
    session.start_recording(tmp_path / "take")
    with session:
        wait_until(lambda: session.stats()["recording"]["seconds"] > 0.1, "it should record")
        files = session.stop_recording()
    assert files
    mix = soundfile.read(files["mix"], dtype="float32")[0]
    song = soundfile.read(songs[0], dtype="float32")[0]
    np.testing.assert_array_equal(mix, song[: len(mix)])
