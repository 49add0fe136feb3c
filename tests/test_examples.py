"""Every example runs, and what it makes is right; the same of the lines of Python in the pages."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.files.demo import demo_song
from tests.docs.pages import PAGES, blocks
from tests.e2e.liveprocess import no_jack

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
MOST_LINES = 80
SECONDS = 2
PATIENCE_S = 240.0  # a first run compiles
LONG_S = 300  # of a file that still plays when a busy machine has loaded another model
ONE_STEP = 2.0**-23  # of 24 bits


def start(*arguments: object, cwd: Path = ROOT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd, env=no_jack() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def run(name: str, *arguments: object) -> str:
    """Run an example to its end; return what it said."""
    process = start(ROOT / "examples" / name, *arguments)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    return said


def read(path: Path) -> np.ndarray:
    """Return [channels, frames]."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


@pytest.fixture(scope="module")
def song() -> tuple[np.ndarray, int]:
    """The beginning of the demo song, [channels, frames], and its rate."""
    rate = soundfile.info(demo_song()).samplerate
    sound = soundfile.read(demo_song(), frames=SECONDS * rate, dtype="float32", always_2d=True)[0]
    return sound.T, rate


@pytest.fixture(scope="module")
def stems(song) -> rtsep.Stems:
    return rtsep.Separator("live", rate=song[1]).separate(song[0])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_tested(path):
    assert len(path.read_text().splitlines()) < MOST_LINES
    assert f'"{path.name}"' in Path(__file__).read_text()


def test_a_whole_song_into_files(song, tmp_path):
    run("separate_to_files.py", "--seconds", SECONDS, "--out", tmp_path)
    separator = rtsep.Separator("live", rate=song[1], controls=rtsep.Controls(threshold=0.2))
    for name, stem in separator.separate(song[0])._asdict().items():
        assert np.array_equal(read(tmp_path / f"{name}.wav"), stem)
        assert np.abs(stem).max() > 0.05


def test_a_stream_whose_vocals_fade(song, stems, tmp_path):
    said = run("stream_blocks.py", "--seconds", SECONDS, "--out", tmp_path / "fade.wav")
    written = read(tmp_path / "fade.wav")
    frames = written.shape[1]
    late = int(re.search(r"stems come (\d+) frames", said)[1])  # type: ignore[index]
    assert frames == song[0].shape[1]
    half, faded = frames // 2, round(0.65 * frames)
    assert not written[:, :late].any()
    np.testing.assert_allclose(written[:, late:half], song[0][:, : half - late], rtol=0, atol=2 * ONE_STEP)
    backing = stems.instrumental + 10 ** (-30 / 20) * stems.vocals
    expected = backing[:, faded - late : frames - late]
    np.testing.assert_allclose(written[:, faded:], expected, rtol=0, atol=1e-5)
    assert np.abs(song[0][:, faded - late : frames - late] - expected).max() > 0.01


def test_a_live_session_whose_threshold_swings(song, tmp_path):
    said = run("live_automation.py", "--seconds", SECONDS, "--record", tmp_path)
    mix = read(tmp_path / "mix.wav")
    np.testing.assert_allclose(mix, song[0], rtol=0, atol=1e-3)  # ffmpeg's Opus is not libsndfile's
    total = read(tmp_path / "vocals.wav") + read(tmp_path / "instrumental.wav")
    np.testing.assert_allclose(total, mix, rtol=0, atol=3 * ONE_STEP)
    thresholds = [float(text) for text in re.findall(r"threshold (\d\.\d\d)", said)]
    assert len(thresholds) > 5
    assert min(thresholds) < 0.1 < 0.5 < max(thresholds)
    assert "latency: algorithm" in said
    assert int(re.search(r"(\d+) hops", said)[1]) >= SECONDS * song[1] // 256  # type: ignore[index]


@pytest.fixture
def remote() -> Iterator[subprocess.Popen[str]]:
    process = start(ROOT / "examples" / "remote_control.py", "--seconds", 20)
    yield process
    process.terminate()
    process.communicate(timeout=30)


def test_a_session_turned_over_the_network(remote):
    heading = next(line for line in remote.stdout if line.startswith("listening on 127.0.0.1"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as desk:
        desk.settimeout(20)
        desk.connect(("127.0.0.1", int(heading.split()[-1])))

        def ask(line: str) -> str:
            desk.send(line.encode())
            return desk.recv(65536).decode().strip()

        assert ask("threshold 0.4") == "threshold 0.4"
        assert ask("vocals_gain -6 dB\n") == "vocals_gain -6"
        assert ask("mask binary") == "mask 1"
        assert ask("treshold 1").startswith("error: unknown control 'treshold'; did you mean 'threshold'?")
        assert ask("threshold 7") == "error: threshold 7: out of range; 0 to 1"
        assert ask("slots 1").startswith("error: unknown control 'slots'")
        assert ask("\0\udcff".encode(errors="surrogateescape").decode("latin-1")).startswith("error: ")
        assert ask("vocals_mute on") == "vocals_mute 1"
        until = time.monotonic() + 15
        while True:  # the song is audible, and its voice is not: before the first hop all levels are zero
            levels = json.loads(ask("stats"))["levels"]
            if levels["mix"]["peak"] > 0 and levels["vocals"]["peak"] <= 1e-6:
                break
            assert time.monotonic() < until, levels
            time.sleep(0.05)


def test_a_folder_of_songs_without_their_voices(song, stems, tmp_path):
    sound, rate = song
    for place in ("a", "b"):
        (tmp_path / "songs" / place).mkdir(parents=True)
    soundfile.write(tmp_path / "songs" / "a" / "same.wav", sound.T, rate, subtype="FLOAT")
    soundfile.write(tmp_path / "songs" / "b" / "same.wav", sound[:1, :20_000].T, rate, subtype="FLOAT")
    (tmp_path / "songs" / "broken.mp3").write_bytes(b"no song" * 100)
    (tmp_path / "songs" / "notes.txt").write_text("no song either")
    said = run("karaoke_folder.py", tmp_path / "songs", "--out", tmp_path / "out", "--seconds", SECONDS)
    assert "broken.mp3: left out" in said
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.glob("out/**/*.flac"))
    assert made == ["a/same.flac", "b/same.flac"]
    backing = read(tmp_path / "out" / "a" / "same.flac")
    np.testing.assert_allclose(backing, stems.instrumental.clip(-1, 1), rtol=0, atol=ONE_STEP)
    assert read(tmp_path / "out" / "b" / "same.flac").shape == (1, 20_000)


def test_the_lines_of_python_in_the_pages_run(song, stems, tmp_path):
    sound, rate = song
    soundfile.write(tmp_path / "song.wav", sound.T, rate, subtype="FLOAT")
    soundfile.write(tmp_path / "concert.flac", np.zeros(LONG_S * rate, np.int16), rate)
    snippets = blocks(PAGES["docs/python.md"], "python")
    assert len(snippets) == 4
    (first_seen,) = blocks(PAGES["README.md"], "python")
    assert first_seen in snippets
    check = "\nimport numpy\nnumpy.save('vocals.npy', vocals)\n"
    (tmp_path / "snippets.py").write_text(snippets[0] + check + "".join(snippets[1:]))
    process = start("snippets.py", cwd=tmp_path)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert np.array_equal(np.load(tmp_path / "vocals.npy"), stems.vocals)
    assert "'rms'" in said
