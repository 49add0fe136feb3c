"""`rtsep file` and `rtsep live` on files that people have: odd names, damage, outputs that fall on inputs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
import soundfile

from rtsep.errors import InputFileError, OutputError
from tests.cli.program import assert_refused, rtsep, rtsep_here, separate_here
from tests.files.tones import RATE, tone
from tests.models import make_model

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names of bytes, links, pipes")


@pytest.fixture(scope="module")
def model(model_folder):
    """A quick model."""
    return make_model(model_folder / "odd-half.pt", "half")


def song(path: Path, hz: float = 440, seconds: float = 0.5) -> Path:
    """Write a tone to a file of any name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = path.parent / f"plain{path.suffix}"
    tone(plain, hz, seconds)
    return plain.replace(path)


def test_every_name_of_a_batch_is_separated(tmp_path, model):
    names = [
        b"caf\xe9.wav", b"[live] [/x].wav", b"...wav", b"..wav", b"a\nb.flac", b"-o.wav", b"~.wav",
        b":cat:.wav", b"\x1b[31mred.wav",
    ]  # fmt: skip
    paths = [song(tmp_path / os.fsdecode(name)) for name in names]
    outcome = separate_here("-o", tmp_path / "deep" / "out", "--model", model, "--json", "--", *paths)
    assert (outcome.code, outcome.said) == (0, [])
    assert [line["input"] for line in outcome.json] == [str(path) for path in paths]
    folders = list((tmp_path / "deep" / "out").iterdir())
    assert len(folders) == len(names)
    assert all((folder / "vocals.wav").exists() for folder in folders)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_a_person_reads_odd_names_on_one_line_each(tmp_path, model):
    paths = [song(tmp_path / "a\nb.wav"), song(tmp_path / os.fsdecode(b"caf\xe9 [x].wav"))]
    outcome = rtsep("file", *paths, tmp_path / "no\nsuch.wav", "-o", tmp_path / "out", "--model", model)
    assert len(outcome.out) == 3
    assert " left: a\\nb.wav: " in outcome.out[0]
    assert "[x].wav: " in outcome.out[1]
    assert outcome.out[2] == "2 separated, 1 refused"
    assert [line.endswith("no such file") for line in outcome.said] == [True]


def test_live_takes_a_name_that_is_no_utf_8(tmp_path, model):
    path = song(tmp_path / os.fsdecode(b"caf\xe9.wav"))
    outcome = rtsep("live", "--in", path, "--out-device", "virtual", "--headless", "--model", model)
    assert outcome.code == 0, outcome.said
    assert "caf\\xe9.wav -> " in outcome.out[0]


def test_one_files_trouble_never_ends_a_batch(tmp_path, model):
    good = song(tmp_path / "good.wav")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "blocked").write_text("a file where a folder should be")
    bad = [tmp_path / "no.wav", tmp_path / ("x" * 300), song(tmp_path / "blocked.wav"), Path("/dev/zero")]
    outcome = separate_here(*bad, good, "-o", tmp_path / "out", "--model", model, "--json")
    assert outcome.code == 1, "errors of two kinds"
    assert len(outcome.said) == len(bad)
    assert [line["input"] for line in outcome.json] == [str(good)]


def test_stems_of_what_can_be_read_of_a_damaged_file_are_kept(tmp_path, model):
    whole = song(tmp_path / "whole.wav", seconds=2).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    outcome = separate_here(tmp_path / "cut.wav", "-o", tmp_path / "out", "--model", model, "--json")
    assert outcome.code == InputFileError.exit_code
    (line,) = outcome.json
    assert "1.00 s of 2.00 s can be read" in line["damage"]
    assert outcome.said == [f"rtsep: {line['damage']}; the stems hold the readable part"]
    assert soundfile.info(line["stems"]["vocals"]).frames == pytest.approx(RATE, abs=20)


@pytest.mark.parametrize("way", ["straight", "linked folder", "linked file", "hard link", "unfinished name"])
def test_stems_never_replace_an_input(tmp_path, model, way):
    place = song(tmp_path / "vocals" / "vocals.wav")
    given, out = place, tmp_path
    if way == "linked folder":
        (tmp_path / "alias").symlink_to(tmp_path / "vocals")
        given = tmp_path / "alias" / "vocals.wav"
    elif way == "linked file":
        (tmp_path / "elsewhere").mkdir()
        given = tmp_path / "elsewhere" / "vocals.wav"
        given.symlink_to(place)
    elif way == "hard link":
        (tmp_path / "elsewhere").mkdir()
        given = tmp_path / "elsewhere" / "vocals.wav"
        given.hardlink_to(place)
    elif way == "unfinished name":
        given = tmp_path / "song.wav"
        (tmp_path / "song").mkdir()
        place = place.replace(tmp_path / "song" / "vocals.part.wav")
        given.symlink_to(place)
    before = place.read_bytes()
    outcome = separate_here(given, "-o", out, "--model", model)
    assert_refused(outcome, OutputError.exit_code, "an input file", "choose another folder")
    assert place.read_bytes() == before


def test_stems_of_one_input_never_replace_another_one(tmp_path, model):
    first, second = song(tmp_path / "song.wav"), song(tmp_path / "song" / "vocals.wav")
    before = second.read_bytes()
    outcome = separate_here(first, second, "-o", tmp_path, "--model", model, "--json")
    assert outcome.code == OutputError.exit_code
    assert second.read_bytes() == before
    assert [line["input"] for line in outcome.json] == [str(second)]


def test_two_names_of_one_folder_are_not_mixed_up(tmp_path, model):
    first, second = song(tmp_path / "a.wav"), song(tmp_path / "b.wav", 880)
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "b").symlink_to("a")
    outcome = separate_here(first, second, "-o", tmp_path / "out", "--model", model, "--json")
    assert outcome.code == 0, outcome.said
    places = [line["stems"]["vocals"] for line in outcome.json]
    assert places == [str(tmp_path / "out" / name / "vocals.wav") for name in ("a", "b (2)")]


def test_two_inputs_with_the_longest_possible_name_are_kept_apart(tmp_path, model):
    paths = [song(tmp_path / folder / "x.wav").rename(tmp_path / folder / ("ü" * 127)) for folder in "abc"]
    outcome = separate_here(*paths, "-o", tmp_path / "out", "--model", model, "--json")
    assert (outcome.code, outcome.said) == (0, [])
    folders = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(folders) == 3
    assert folders[0].endswith("ü (2)")


def test_a_folder_in_the_place_of_a_stem_is_named_and_no_unfinished_file_stays(tmp_path, model):
    place = tmp_path / "out" / "song"
    (place / "vocals.wav").mkdir(parents=True)
    outcome = separate_here(song(tmp_path / "song.wav"), "-o", tmp_path / "out", "--model", model)
    assert_refused(outcome, OutputError.exit_code, "a folder has the name of a stem; rename it")
    assert not list(place.glob("*.part.wav"))


@pytest.mark.parametrize(
    "done", ["5", "[5]", '{"a": 1}', '[{"stems": 5}]', '[{"stems": {"vocals": 5}}]', "[" * 100_000, "fifo"]
)
def test_a_damaged_record_of_finished_stems_is_none(tmp_path, model, done):
    path, place = song(tmp_path / "song.wav"), tmp_path / "out" / "song"
    place.mkdir(parents=True)
    if done == "fifo":
        os.mkfifo(place / ".rtsep.json")
    else:
        (place / ".rtsep.json").write_text(f'{{"input": "{path}", "done": {done}}}')
    outcome = separate_here(path, "-o", tmp_path / "out", "--model", model, "--json")
    assert (outcome.code, outcome.said) == (0, [])
    assert outcome.json[0]["stems"]["vocals"] == str(place / "vocals.wav")


def test_a_link_in_the_place_of_a_stem_is_replaced_not_followed(tmp_path, model):
    path, other = song(tmp_path / "song.wav"), tmp_path / "precious.wav"
    (tmp_path / "out" / "song").mkdir(parents=True)
    for name in ("vocals.wav", "vocals.part.wav"):
        (tmp_path / "out" / "song" / name).symlink_to(other)
    other.write_text("precious")
    assert separate_here(path, "-o", tmp_path / "out", "--model", model).code == 0
    assert other.read_text() == "precious"


@pytest.mark.parametrize("option", ["-o=~/stems", pytest.param("--output=~/stems", marks=pytest.mark.long)])
def test_a_tilde_behind_an_equals_sign_is_the_home_folder(tmp_path, model, option):
    path, home = song(tmp_path / "song.wav"), tmp_path / "home"
    home.mkdir()
    outcome = rtsep(
        "file", path, option, "--model", model, cwd=tmp_path, HOME=str(home), XDG_CACHE_HOME=cache()
    )
    assert outcome.code == 0, outcome.said
    assert (home / "stems" / "song" / "vocals.wav").exists()
    assert not (tmp_path / "~").exists()


def cache() -> str:
    """The caches of this machine, for a run in another home."""
    return os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")


def test_a_model_that_is_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "model.pt")
    outcome = rtsep_here("models", tmp_path / "model.pt")
    assert outcome.code == 4
    assert "a pipe" in outcome.said[0]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_the_track_of_a_video_is_said_and_chosen(tmp_path, model):
    import subprocess

    path = tmp_path / "two.mkv"
    tones = [word for hz in (440, 880) for word in ("-f", "lavfi", "-i", f"sine={hz}:d=1:r=44100")]
    maps = ["-map", "0", "-map", "1", "-c:a", "flac", "-disposition:a:1", "default", "-disposition:a:0", "0"]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *tones, *maps, path], check=True)
    outcome = separate_here(path, "-o", tmp_path / "out", "--model", model)
    assert outcome.code == 0
    assert "track 2" in outcome.said[0]
    assert separate_here(path, "-o", tmp_path / "out", "--model", model, "--track", 1).said == []
    refused = rtsep_here("live", "--in", path, "--out-device", "virtual", "--track", 3, "--model", model)
    assert_refused(refused, InputFileError.exit_code, "--track 3: it has 2 audio tracks")
