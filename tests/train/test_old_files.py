"""Old model files and runs keep loading: version 0.1.0 wrote those in the folder `old`.

`model.pt` is a small model file. `masks.npz` holds the masks of the last of five passes over its golden
columns. `run` is the run that it was exported from. None of them is ever written again: a later schema or
form gets files of its own beside them. The environment variable RTSEP_RUNS may name a folder with more runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from rtsep.model.contract import TORCHSCRIPT
from rtsep.model.loader import GOLDEN_TOLERANCE, load_model
from rtsep.model.package import read_package
from rtsep.model.runner import ModelRunner
from train.learn import checkpoint as checkpoints
from train.learn.export import export
from train.learn.fit import FitConfig, fit

OLD = Path(__file__).parent / "old"
SHA256 = {
    "model.pt": "eebad4122d38f23c773f836e9fe5293c06e6ec3c904265905e03d02fd6e89d76",
    "masks.npz": "4b18bde060b5aad782c38aedc2ee4e4606bc9645e0a6c52f8005a48ef4074ad9",
    "run/checkpoint.pt": "e2e17e6bba0682e6354ecf522a4683206dea65b31f598e356d05cac95be661ab",
    "run/run.json": "03ea26ab80b59f5b16b99a4d16df9e64c2989050244643d251fd2fa2724c1a54",
    "run/history.jsonl": "8d1fdc7cdb4a1ad6a9cc3a1b6130643396a10c2fa2e067b83a9ae40b82f6b74e",
}
RUNS = sorted(path.parent for path in Path(os.environ.get("RTSEP_RUNS", os.devnull)).glob("*/run.json"))
REPEATS = 5


def last_masks(runner: ModelRunner, columns: np.ndarray) -> np.ndarray:
    """Play `columns` REPEATS times from the beginning; return the masks of the last time."""
    runner.reset()
    for _ in range(REPEATS):
        masks = []
        for column in columns:
            runner.column[:] = column
            runner.step()
            masks.append(runner.mask.copy())
    return np.stack(masks)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the old run that may be written to."""
    return Path(shutil.copytree(OLD / "run", tmp_path / "run"))


@pytest.mark.parametrize("name", SHA256)
def test_the_old_files_are_as_they_were(name):
    assert hashlib.sha256((OLD / name).read_bytes()).hexdigest() == SHA256[name]


def test_an_old_model_file_plays_as_it_did():
    package = read_package(OLD / "model.pt")
    assert (package.spec.schema, package.spec.form, package.spec.name) == (1, TORCHSCRIPT, "tiny")
    runner = load_model(OLD / "model.pt")
    assert runner.golden_error <= GOLDEN_TOLERANCE
    with np.load(OLD / "masks.npz") as kept:
        expected = kept["last"]
    assert np.ptp(expected) > 0.4 and np.abs(expected - package.golden.masks).max() > 0.005
    np.testing.assert_allclose(last_masks(runner, package.golden.columns), expected, atol=GOLDEN_TOLERANCE)


def test_an_old_checkpoint_becomes_the_model_that_it_became(run, tmp_path):
    """`train export --run` of the run, and of what the model file carries of it."""
    expected = last_masks(load_model(OLD / "model.pt"), read_package(OLD / "model.pt").golden.columns)
    for name, source in (("run", run), ("file", run / "checkpoint.pt"), ("model", OLD / "model.pt")):
        path = tmp_path / f"{name}.pt"
        export(source, path, "tiny")
        package, runner = read_package(path), load_model(path)
        assert package.spec.data == read_package(OLD / "model.pt").spec.data
        found = last_masks(runner, read_package(OLD / "model.pt").golden.columns)
        np.testing.assert_allclose(found, expected, atol=GOLDEN_TOLERANCE)


@pytest.mark.parametrize("source", ["run", "run/checkpoint.pt", "model.pt"])
def test_an_old_run_is_a_start_for_new_ones(cache, tmp_path, source):
    old = checkpoints.load(OLD / source)
    new = fit(FitConfig(cache, tmp_path / "new", old.system, steps=1, device="cpu", init=OLD / source))
    assert new.step == 1 and new.earlier["audio_s"] == pytest.approx(old.spent["audio_s"])
    # One step moves weights by no more than a few thousandths: they come from the old run.
    for name, weight in old.average.items():
        torch.testing.assert_close(new.net[name], weight, atol=0.05, rtol=0.05)


def test_an_old_run_goes_on(cache, run, capsys):
    about = json.loads((run / "run.json").read_text())["config"]
    old = checkpoints.load(run)
    config = FitConfig(cache, run, old.system, steps=about["steps"] + 1, seed=about["seed"], device="cpu")
    assert fit(config).step == old.step + 1 == 7


@pytest.mark.skipif(not RUNS, reason="RTSEP_RUNS names no folder with runs")
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_run_from_elsewhere_becomes_a_model(run, tmp_path):
    export(run, tmp_path / "m.pt")
    package = read_package(tmp_path / "m.pt")
    assert np.isfinite(last_masks(load_model(tmp_path / "m.pt"), package.golden.columns)).all()
