"""`rtsep live --record`: an impossible one is refused at once; if the disk fills up, the sound continues."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.program import PATIENCE_S, ROOT, Outcome, assert_refused
from tests.models import make_model

STEMS = ("vocals", "instrumental", "mix")
SECONDS = 2
LIMIT = 300_000  # bytes; a second is 264,600 in 24 bits
ENVIRONMENT = os.environ | {
    "JACK_DEFAULT_SERVER": "rtsep-test-none",
    "JACK_NO_START_SERVER": "1",
    "PYTHONPATH": str(ROOT),
}


@pytest.fixture(scope="module")
def model(model_folder) -> Path:
    return make_model(model_folder / "record.pt", "half")


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("song") / "song.wav"
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (10 * 44100, 2))
    soundfile.write(path, sound, 44100, subtype="PCM_24")
    return path


def arguments(song: Path, model: Path, folder: Path) -> list[str]:
    words = ("live", "--in", song, "--out-device", "virtual", "--model", model, "--record", folder)
    return [*map(str, words), "--seconds", str(SECONDS), "--json"]


def on_a_small_disk(before: str, disk: Path, out: Path, command: list[str]) -> Outcome:
    """Run `before`, then `command`, with a disk of 3 LIMIT at `disk`; copy it to `out` at the end."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare (util-linux) on this machine")
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", disk], check=False).returncode != 0:
        pytest.skip("this user may not mount a disk")
    script = (
        f'mount -t tmpfs -o size={3 * LIMIT} none "$0" && {before}; "$@"; x=$?; cp -r "$0" {out}; exit $x'
    )
    run = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, disk, sys.executable, "-m", "rtsep", *command],
        cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=PATIENCE_S,
    )  # fmt: skip
    return Outcome(run.returncode, run.stdout.splitlines(), run.stderr.splitlines())


def assert_stopped_and_played_on(outcome: Outcome, why: str, folder: Path, song: Path) -> None:
    assert outcome.code == 0, outcome
    told = [line for line in outcome.said if "recording stopped" in line]
    assert len(told) == 1, outcome.said
    for part in (why, "the audio continues"):
        assert part in told[0]
    final = json.loads(outcome.out[-1])
    assert final["hops"] >= SECONDS * 44100 // 256  # all of it was played
    sound = soundfile.read(song, dtype="float64")[0]
    lengths = set()
    for stem in STEMS:
        kept = soundfile.read(folder / f"{stem}.wav", dtype="float64")[0]
        lengths.add(len(kept))
        if stem == "mix":
            np.testing.assert_array_equal(kept, sound[: len(kept)])
    assert len(lengths) == 1
    assert 0 < lengths.pop() < SECONDS * 44100
    assert [Path(path).name for path in final["recordings"][0].values()] == [f"{s}.wav" for s in STEMS]


def test_a_full_disk_ends_the_recording_and_not_the_sound(tmp_path, song, model):
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    outcome = on_a_small_disk("true", disk, out, arguments(song, model, disk))
    assert_stopped_and_played_on(outcome, "No space left on device", out, song)
    assert any(re.search(r"space for only \d+ more seconds of recording", line) for line in outcome.said)


def test_a_disk_that_is_full_already_is_told_before_the_sound(tmp_path, song, model):
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    fill = 'cat /dev/zero > "$0"/zeros 2> /dev/null'
    outcome = on_a_small_disk(fill, disk, out, arguments(song, model, disk))
    assert_refused(outcome, 6, str(disk), "No space left on device", "choose another folder")
    assert [path.name for path in out.iterdir()] == ["zeros"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process")
def test_a_disk_that_takes_no_larger_file_ends_the_recording_and_not_the_sound(tmp_path, song, model):
    (tmp_path / "mix.wav").write_text("an earlier take")
    with subprocess.Popen(
        [sys.executable, "-m", "rtsep", *arguments(song, model, tmp_path)],
        cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as run:  # fmt: skip
        try:
            assert run.stdout
            first = run.stdout.readline()  # it plays
            import resource  # POSIX

            resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
            out, said = run.communicate(timeout=PATIENCE_S)
        finally:
            run.kill()
    outcome = Outcome(run.returncode, [first, *out.splitlines()], said.splitlines())
    assert_stopped_and_played_on(outcome, "File too large", tmp_path / "take-2", song)
    assert (tmp_path / "mix.wav").read_text() == "an earlier take"
