"""Files and folders that cannot be: audio, models, places for results. One line, and an exit code a kind."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError, ModelError, OutputError, UsageError
from rtsep.model.catalog import find_model
from tests.cli.program import assert_refused, rtsep, rtsep_here, separate_here
from tests.models import make_golden, make_model, make_parts, make_spec


@pytest.fixture
def bad_audio(tmp_path):
    """Makes a bad audio file of a kind and returns its path."""

    def make(kind: str):
        path = tmp_path / f"{kind}.wav"
        if kind == "text":
            path.write_text("this is not music\n" * 100)
        elif kind == "empty":
            path.touch()
        elif kind == "zero-frames":
            soundfile.write(path, np.zeros((0, 2), np.float32), 44100)
        elif kind == "flac-of-nothing":  # ffprobe takes the name's word, and finds 0 channels
            path = path.with_suffix(".flac")
            path.write_text("this is not music\n" * 100)
        elif kind == "folder":
            path.mkdir()
        elif kind == "header-only":
            soundfile.write(path, np.zeros((100, 2), np.float32), 44100)
            path.write_bytes(path.read_bytes()[:20])
        return path

    return make


AUDIO = [
    ("missing", "no such file"),
    ("text", "no audio"),
    ("empty", "empty"),
    ("zero-frames", "0 frames"),
    ("folder", "folder"),
    ("header-only", "audio"),
    ("flac-of-nothing", "no audio"),
]


@pytest.mark.parametrize(("kind", "reason"), [AUDIO[1], AUDIO[3], AUDIO[6]])
def test_file_refuses_what_is_no_audio(bad_audio, tmp_path, half_model_path, kind, reason):
    path = bad_audio(kind)
    outcome = separate_here(path, "-o", tmp_path / "out", "--model", half_model_path)
    assert_refused(outcome, InputFileError.exit_code, str(path), reason)
    assert not list((tmp_path / "out").rglob("*.wav"))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [*AUDIO[:3], *(pytest.param(*case, marks=pytest.mark.long) for case in AUDIO[3:])],
)
def test_live_refuses_what_is_no_audio(bad_audio, kind, reason):
    path = bad_audio(kind)
    outcome = rtsep_here("live", "--in", path, "--out-device", "virtual")
    assert_refused(outcome, InputFileError.exit_code, str(path), reason)


def test_bad_files_among_good_ones_are_named_and_the_others_are_done(bad_audio, tmp_path, half_model_path):
    good = tmp_path / "good.wav"
    soundfile.write(good, np.zeros((1000, 1), np.float32), 44100)
    bad = [bad_audio(kind) for kind, _ in AUDIO]
    outcome = separate_here(*bad, good, "-o", tmp_path / "out", "--model", half_model_path, "--json")
    assert outcome.code == InputFileError.exit_code
    assert len(outcome.said) == len(bad)
    for line, path, (_, reason) in zip(outcome.said, bad, AUDIO, strict=True):
        assert line.startswith(f"rtsep: {path}")
        assert reason in line
    (result,) = outcome.json
    assert result["input"] == str(good)
    stems = sorted(path.name for path in (tmp_path / "out").rglob("*.wav"))
    assert stems == ["instrumental.wav", "vocals.wav"]


@pytest.fixture(scope="module")
def half_model_path(model_folder):
    return make_model(model_folder / "refused-half.pt", "half")


@pytest.fixture
def bad_model(tmp_path):
    """Makes a bad model file of a kind and returns what `--model` gets."""

    def make(kind: str):
        path = tmp_path / f"{kind}.pt"
        whole = find_model("live")
        if kind == "truncated":
            path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        elif kind == "text":
            path.write_text("not a model")
        elif kind == "empty":
            path.touch()
        elif kind == "folder":
            path.mkdir()
        elif kind == "archive":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a/b.txt", "no model")
        elif kind == "flipped":
            content = bytearray(whole.read_bytes())
            content[len(content) // 3] ^= 0xFF
            path.write_bytes(content)
        elif kind == "golden":
            spec = make_spec("half")
            parts = make_parts("half")
            parts.golden = make_golden("ones", spec)
            parts.write(path)
        elif kind == "schema":
            rewrite_schema(make_model(tmp_path / "before.pt", "half"), path)
        return path

    return make


def rewrite_schema(before, after) -> None:
    """Write model `before` to `after` as one of a later schema."""
    with zipfile.ZipFile(before) as source, zipfile.ZipFile(after, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("/extra/spec.json"):
                sealed = json.loads(content)
                assert "schema" in sealed["spec"]
                sealed["spec"]["schema"] = 999
                content = json.dumps(sealed).encode()
            target.writestr(name, content)


MODELS = [
    ("missing", "no such model file"),
    ("truncated", "truncated"),
    ("text", "not a model file"),
    ("empty", "not a model file"),
    ("folder", "cannot be read"),
    ("archive", "without a model spec"),
    ("flipped", ""),
    ("golden", "golden frames do not replay"),
    ("schema", "999"),
]


@pytest.mark.parametrize(("kind", "reason"), MODELS)
def test_what_is_no_model_is_refused_by_name_and_reason(bad_model, kind, reason):
    path = bad_model(kind)
    # Only a replay, which loads torch, finds wrong golden frames; the rest is found without.
    outcome = rtsep_here("models", "check", path) if kind == "golden" else rtsep_here("models", path)
    assert_refused(outcome, ModelError.exit_code, str(path), reason)


@pytest.mark.parametrize("kind", [pytest.param("truncated", marks=pytest.mark.long), "golden"])
def test_live_and_file_refuse_it_too(bad_model, tmp_path, kind):
    path, reason = bad_model(kind), dict(MODELS)[kind]
    live = rtsep("live", "--in", "demo", "--out-device", "virtual", "--model", path)
    assert_refused(live, ModelError.exit_code, str(path), reason)
    file = rtsep("file", "demo", "-o", tmp_path / "out", "--model", path)
    assert_refused(file, ModelError.exit_code, str(path), reason)
    assert not list((tmp_path / "out").rglob("*"))


def test_a_misspelt_model_is_answered_with_the_nearest_name():
    assert_refused(rtsep_here("models", "lve"), ModelError.exit_code, "'lve'", "did you mean 'live'?")
    assert_refused(rtsep_here("models", ""), ModelError.exit_code, "no model is called ''; the models are")


def test_results_cannot_go_below_a_file(tmp_path, half_model_path):
    (tmp_path / "file").write_text("a file")
    place = tmp_path / "file" / "out"
    file = rtsep_here("file", "demo", "-o", place, "--model", half_model_path)
    assert_refused(file, OutputError.exit_code, str(place), "choose another folder")
    live = rtsep_here("live", "--in", "demo", "--out-device", "virtual", "--record", place)
    assert_refused(live, OutputError.exit_code, str(place), "choose another folder")


def test_a_cuda_device_that_is_not_there_is_named():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    outcome = rtsep_here("live", "--in", "demo", "--out-device", "virtual", "--device", "cuda")
    assert_refused(outcome, ModelError.exit_code, "cuda")


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps the current folder of a process")
@pytest.mark.parametrize("words", [("file", "song.wav"), ("service", "install")])
def test_a_current_folder_that_was_removed_is_named(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    outcome = rtsep_here(*words, XDG_CONFIG_HOME=str(tmp_path))
    assert_refused(outcome, UsageError.exit_code, "the current folder was removed")
