"""Takes of a session: started and stopped from another thread while it plays, and ended by kill -9."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.e2e.exact import noise
from tests.e2e.liveprocess import ROOT, no_jack

STEMS = ("vocals", "instrumental", "mix")
STEP = 2.0**-23  # of PCM_24, as it is read


def read(folder: Path) -> list[np.ndarray]:
    return [soundfile.read(folder / f"{stem}.wav", dtype="float64", always_2d=True)[0] for stem in STEMS]


def place_of(part: np.ndarray, sound: np.ndarray) -> int:
    """Return where in `sound` the noise of `part` is; it must be there as it is, all of it."""
    (at,) = np.flatnonzero((sound[:, 0] == part[0, 0]) & (sound[:, 1] == part[0, 1]))
    np.testing.assert_array_equal(part, sound[at : at + len(part)])
    return int(at)


def song(path: Path, seconds: int) -> np.ndarray:
    """Write noise in 24 bits, which a recording in 24 bits gives back to the last one."""
    soundfile.write(path, noise(seconds * 44100), 44100, subtype="PCM_24")
    return soundfile.read(path, dtype="float64", always_2d=True)[0]


class Session:
    """The process of `recording_session.py`."""

    def __init__(self, model: Path, file: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.recording_session", str(model), str(file)],
            cwd=ROOT, env=no_jack(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.facts = self.answer()

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def ask(self, line: str) -> Any:
        self.tell(line)
        return self.answer()

    def wait_for_seconds(self, seconds: float) -> float:
        """Wait until so much is in the files."""
        while (there := self.ask("state")["recording"]["seconds"]) < seconds:
            pass
        return there


@pytest.fixture
def start_session():
    sessions = []

    def start(model: Path, file: Path) -> Session:
        sessions.append(Session(model, file))
        return sessions[-1]

    yield start
    for session in sessions:
        session.process.kill()
        session.process.wait()
        for pipe in (session.process.stdin, session.process.stdout):
            pipe.close()


@pytest.mark.long
def test_takes_start_and_stop_while_it_plays_and_the_last_survives_a_kill(
    start_session, tmp_path, half_model
):
    sound = song(tmp_path / "song.wav", 60)
    session = start_session(half_model, tmp_path / "song.wav")
    hop, delay = session.facts["hop"], session.facts["delay"]
    folder = tmp_path / "takes"
    assert session.ask("state")["recording"] is None
    assert session.ask("stop") == {"files": None}
    (tmp_path / "file").touch()
    assert "cannot write" in session.ask(f"start {tmp_path / 'file'}")["error"]
    assert session.ask("state")["recording"] is None
    places = []
    for take in (folder, folder / "take-2", folder / "take-3"):
        assert session.ask(f"start {folder}") == {"started": None}
        assert "is already running" in session.ask(f"start {folder}")["error"]
        state = session.ask("state")["recording"]
        assert state["folder"] == str(take)
        assert (state["failure"], state["lost_frames"]) == (None, 0)
        session.wait_for_seconds(0.3)
        files = session.ask("stop")["files"]
        assert files == {stem: str(take / f"{stem}.wav") for stem in STEMS}
        vocals, instrumental, mix = read(take)
        assert len(vocals) == len(instrumental) == len(mix) >= 0.3 * 44100
        assert np.abs(vocals + instrumental - mix).max() <= STEP
        places.append((place_of(mix, sound), len(mix)))
    for place, length in places:
        assert (place + delay) % hop == length % hop == 0
    for (place, length), (following, _) in itertools.pairwise(places):
        assert place + length <= following

    session.ask(f"start {folder}")
    known = session.wait_for_seconds(0.2)
    session.process.kill()
    session.process.wait()
    vocals, instrumental, mix = parts = read(folder / "take-4")
    lengths = [len(part) for part in parts]
    assert min(lengths) >= round(known * 44100)
    assert max(lengths) - min(lengths) < 44100
    assert (place_of(mix, sound) + delay) % hop == 0
    common = min(lengths)
    assert np.abs(vocals[:common] + instrumental[:common] - mix[:common]).max() <= STEP
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == sorted(
        f"{stem}.wav" for stem in STEMS
    )


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_a_killed_rtsep_live_leaves_what_it_recorded_from_the_first_frame(start_live, tmp_path, half_model):
    sound = song(tmp_path / "song.wav", 30)
    live = start_live(
        "--in", tmp_path / "song.wav", "--out-device", "virtual", "--model", half_model,
        "--record", tmp_path / "out",
    )  # fmt: skip
    line = live.wait_line(
        lambda line: line["recording"] and line["recording"]["seconds"] > 0.5, "it records", 180
    )
    live.send(signal.SIGKILL)
    live.exit_code()
    parts = read(tmp_path / "out")
    for part in parts:
        assert len(part) >= round(line["recording"]["seconds"] * 44100)
    assert place_of(parts[2], sound) == 0
