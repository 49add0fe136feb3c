"""Options of a training and of the pages that no computation accepts: one line each, before any work."""

import json
from pathlib import Path

import pytest

from rtsep.errors import InputFileError, UsageError
from train.data.cache import AudioCache
from train.data.remix import Recipe, Remixer
from train.data.synthetic_leads import write_leads
from train.learn.fit_config import FitConfig
from train.learn.presets import changed, preset
from train.learn.pseudo_labels import Labelling
from train.pages.blind import blind
from train.pages.listen import listen
from train.pages.report import report

HERE = Path()


@pytest.mark.parametrize(
    "choice",
    ["warmup_steps=0", "hops=64", "true_share=(0.5,)", "true_share=(0.5, 2.0)", "true_share=('a', 'b')",
     "recipe.speech=-1.0", "learning_rate=1e999"],
)  # fmt: skip
def test_a_training_that_cannot_run_is_refused(choice):
    with pytest.raises(UsageError):
        FitConfig(HERE, HERE, changed(preset("causal"), [f"training.{choice}"]))


@pytest.mark.parametrize(
    "wrong", [{"minutes": float("inf")}, {"validate_minutes": float("nan")}, {"seed": 10**23}, {"seed": -1}]
)
def test_a_length_and_a_seed_without_sense_are_refused(wrong):
    with pytest.raises(UsageError):
        FitConfig(HERE, HERE, preset("causal"), **wrong)
    FitConfig(HERE, HERE, changed(preset("causal-studio"), ["training.hops=88"]))


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 0.0])
def test_an_endless_excerpt_is_refused(tmp_path, seconds):
    with pytest.raises(UsageError, match="--seconds"):
        listen(HERE, HERE, tmp_path, seconds=seconds)
    with pytest.raises(UsageError, match="--seconds"):
        blind([HERE, HERE], HERE, tmp_path, seconds=seconds)
    with pytest.raises(UsageError, match="--seconds"):
        Labelling("t", seconds)


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--seed -1"):
        report(HERE, tmp_path, "train", 1, -1)
    with pytest.raises(UsageError, match="--seed -1"):
        write_leads(HERE, tmp_path, 1, 10.0, -1, "CC0")


def test_voices_that_are_never_drawn_are_no_voices(cache, tmp_path):
    songs = json.loads((cache / "index.json").read_text())
    songs["songs"] = [song | {"source": "speech"} for song in songs["songs"] if song["kind"] == "voice"]
    (tmp_path / "index.json").write_text(json.dumps(songs))
    (tmp_path / "audio.i16").symlink_to(cache / "audio.i16")
    with pytest.raises(InputFileError, match="no material for mixtures"):
        Remixer(AudioCache(tmp_path), 4096, recipe=Recipe(speech=0.0))
