"""`rtsep file` beside earlier results and the files of others, and one song by several paths."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError, OutputError, UsageError
from rtsep.offline.finished import LEDGER
from tests.cli.program import Outcome, assert_refused, rtsep_here, separate_here
from tests.models import make_model


@pytest.fixture(scope="module")
def half(model_folder) -> Path:
    return make_model(model_folder / "earlier-half.pt", "half")


def song(path: Path, seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, (4000, 2)), 44100)
    return path


def separate(half: Path, *words: object) -> Outcome:
    return separate_here(*words, "--model", half, "--json")


def folders(outcome: Outcome) -> list[str]:
    """Return the names of the folders with the stems; "+" before one that was finished before."""
    assert outcome.code == 0, outcome
    return [
        "+" * line.get("skipped", False) + Path(line["stems"]["vocals"]).parent.name for line in outcome.json
    ]


@pytest.mark.parametrize("record", [None, "", "{}"])
def test_a_stem_that_somebody_made_is_not_replaced(half, tmp_path, record):
    mix, mine = song(tmp_path / "set" / "Song.wav"), tmp_path / "set" / "Song" / "vocals.wav"
    mine.parent.mkdir()
    mine.write_text("mine")
    if record is not None:
        (mine.parent / LEDGER).write_text(record)
    assert folders(separate(half, mix, "-o", mix.parent)) == ["Song (2)"]
    assert folders(separate(half, mix, "-o", mix.parent)) == ["+Song (2)"]
    assert mine.read_text() == "mine"
    assert folders(separate(half, mix, "-o", mix.parent, "--overwrite")) == ["Song"]
    assert mine.read_bytes()[:4] == b"RIFF"


def test_other_files_do_not_reserve_a_folder(half, tmp_path):
    (tmp_path / "out" / "song").mkdir(parents=True)
    (tmp_path / "out" / "song" / "cover.jpg").write_text("picture")
    assert folders(separate(half, song(tmp_path / "song.wav"), "-o", tmp_path / "out")) == ["song"]


def test_one_song_by_several_paths_is_one(half, tmp_path, monkeypatch):
    path = song(tmp_path / "a.wav")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path / "sub")
    ways = ["../a.wav", tmp_path / "sub" / ".." / "a.wav", tmp_path / "link" / "a.wav", path]
    assert folders(separate(half, *ways, "-o", tmp_path / "out")) == ["a"]
    for way in ways:
        assert folders(separate(half, way, "-o", tmp_path / "out")) == ["+a"]


def test_a_result_of_an_earlier_version_counts(half, tmp_path):
    song(tmp_path / "a.wav")
    way = tmp_path / "sub" / ".." / "a.wav"
    way.parent.parent.mkdir()
    out = tmp_path / "out"
    assert folders(separate(half, way, "-o", out)) == ["a"]
    record = out / "a" / LEDGER
    record.write_text(record.read_text().replace(str(tmp_path / "a.wav"), str(way)))  # as they were written
    assert folders(separate(half, way, "-o", out)) == ["+a"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such paths")
def test_a_song_from_standard_input_is_the_file_that_it_is(half, tmp_path):
    songs = [song(tmp_path / name, seed) for seed, name in enumerate(("a.wav", "b.wav"))]
    for path in songs:
        os.utime(path, (1, 1))

    def piped(path: Path) -> Outcome:
        kept = os.dup(0)
        try:
            with path.open("rb") as file:
                os.dup2(file.fileno(), 0)
                return separate(half, "-", "-o", tmp_path / "out")
        finally:
            os.dup2(kept, 0)
            os.close(kept)

    assert [folders(piped(path)) for path in (*songs, *songs)] == [
        ["stdin"], ["stdin (2)"], ["+stdin"], ["+stdin (2)"],
    ]  # fmt: skip


@pytest.mark.skipif(not shutil.which("setpriv") or os.geteuid() != 0, reason="drops the rights of root")
def test_a_folder_that_nobody_may_read_costs_itself_only(half, tmp_path):
    (tmp_path / "lib" / "barred").mkdir(parents=True)
    song(tmp_path / "lib" / "ok" / "a.wav")
    (tmp_path / "lib" / "barred").chmod(0)
    rights = "-dac_override,-dac_read_search"
    done = subprocess.run(
        ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", sys.executable, "-m", "rtsep", "file",
         tmp_path / "lib", "-r", "-o", tmp_path / "out", "--model", half],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == InputFileError.exit_code, done.stderr
    (line,) = done.stderr.splitlines()
    assert "lib/barred: cannot be read" in line and "leave it out" in line
    assert "1 separated, 1 refused" in done.stdout


def test_the_remedy_for_clipping_is_one_that_the_format_has(tmp_path):
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full((4000, 2), 1.4), 44100, subtype="FLOAT")
    model = make_model(tmp_path / "ones.pt", "ones")
    remedies = {"wav": "clipped; --subtype FLOAT", "flac": "clipped; --format wav --subtype FLOAT"}
    for form, remedy in remedies.items():
        outcome = separate(model, path, "-o", tmp_path / form, "--format", form)
        (said,) = outcome.said
        assert said.startswith(f"rtsep: {path}: ") and remedy in said
        again = separate(model, path, "-o", tmp_path / f"{form}2", *remedy.split()[1:])
        assert again.code == 0 and again.said == []


def test_a_gain_below_all_others_is_refused_with_the_word_for_silence(half, tmp_path):
    path = song(tmp_path / "a.wav")
    for gain in ("-200", "-150dB"):
        refused = separate(half, path, "--vocals-gain", gain)
        assert_refused(refused, UsageError.exit_code, "-inf to 12 dB; write -inf for silence")
    refused = rtsep_here("file", path, "--smoothing", "a_b")
    assert_refused(refused, UsageError.exit_code, "--smoothing 'a_b': not a number")


def test_a_folder_of_an_input_is_refused_as_before(half, tmp_path):
    path = song(tmp_path / "vocals" / "vocals.wav")
    content = path.read_bytes()
    outcome = separate(half, path, "-o", tmp_path)
    assert_refused(outcome, OutputError.exit_code, "an input file, which rtsep does not replace")
    assert path.read_bytes() == content and list(path.parent.iterdir()) == [path]
