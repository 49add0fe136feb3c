"""Old model files and runs keep loading: version 0.1.0 wrote those in the folder `old`.

`model.pt` is a small model file. `masks.npz` holds the masks of the last of five passes over its golden
columns. `run` is the run that it was exported from. `stopped` is a run with batch norms that was stopped
after two of four steps of Adam; `end.npz` holds the averaged weights that the code of that time reached at
the end. `soap` is the same with SOAP, the optimiser of the shipped models, in float32.
None of them is ever written again: a later schema or form gets files of its own beside them.

The tests marked `long` take runs from the folder that the environment variable RTSEP_RUNS names. Its default
is `shared/experiments/gpu-runs` beside the repository.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickletools
import shutil
import zipfile
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
from train.learn.fit import fit
from train.learn.fit_config import FitConfig
from train.learn.presets import changed

OLD = Path(__file__).parent / "old"
SHA256 = {
    "model.pt": "eebad4122d38f23c773f836e9fe5293c06e6ec3c904265905e03d02fd6e89d76",
    "masks.npz": "4b18bde060b5aad782c38aedc2ee4e4606bc9645e0a6c52f8005a48ef4074ad9",
    "run/checkpoint.pt": "e2e17e6bba0682e6354ecf522a4683206dea65b31f598e356d05cac95be661ab",
    "run/run.json": "03ea26ab80b59f5b16b99a4d16df9e64c2989050244643d251fd2fa2724c1a54",
    "stopped/checkpoint.pt": "d4c14441efb9d2f28d83d3417450eaaed69d40e50bf87d1b2ed8ba4657cd0109",
    "stopped/run.json": "984d752830a0562196e139d6c6c1b44fc52b226be22a8ebacbe702d2cb5b0d18",
    "stopped/end.npz": "499a50485066674ce3bb4b9f502e31fc72ed587e7dd43d5e6db3cca7f308697a",
    "soap/checkpoint.pt": "17ca1471320843764f448efce401bed661196382908003a0660b6966863ca1fe",
    "soap/run.json": "0869713114b78c87f594fb3b0ff1840d5af077a20a9a6c65eb1ce9e60989f802",
    "soap/end.npz": "64b4b59f062499e9660c5f69e4f3566ac4f99a10ca77ce7e9dfa97bae3d09652",
    "run/history.jsonl": "8d1fdc7cdb4a1ad6a9cc3a1b6130643396a10c2fa2e067b83a9ae40b82f6b74e",
}
BESIDE = Path(__file__).resolve().parents[3] / "shared/experiments/gpu-runs"
RUNS = sorted(path.parent for path in Path(os.environ.get("RTSEP_RUNS", BESIDE)).glob("*/run.json"))
CHECKPOINTS = sorted(OLD.glob("*/checkpoint.pt")) + [run / "checkpoint.pt" for run in RUNS]
REPEATS = 5
SMALL = ["training.batch=1", "training.hops=90"]  # a step takes a second


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


@pytest.mark.parametrize(("folder", "tolerance"), [("stopped", 0.15), ("soap", 0.01)], ids=["adam", "soap"])
def test_an_old_stopped_run_ends_as_it_did(cache, tmp_path, folder, tolerance):
    """Weights moved by as much, but for the rounding of this processor: bfloat16 rounds more.

    Without the mean in the optimiser's state, the weights differ by 0.2 (Adam) and 0.17 (SOAP) of their move.
    """
    run = Path(shutil.copytree(OLD / folder, tmp_path / "run"))
    about = json.loads((run / "run.json").read_text())["config"]
    old = checkpoints.load(run)
    assert old.step == 2 and old.optimiser
    config = FitConfig(cache, run, old.system, steps=about["steps"], seed=about["seed"], device="cpu")
    end = fit(config)
    assert end.step == 4 and len(end.history) == 1
    with np.load(run / "end.npz") as kept:
        assert set(kept) == set(end.average)
        names = [name for name in kept if "weight" in name]
        expected = np.concatenate([(kept[name] - old.average[name].numpy()).ravel() for name in names])
        moved = np.concatenate([(end.average[name] - old.average[name]).numpy().ravel() for name in names])
    assert np.abs(moved - expected).mean() < tolerance * np.abs(expected).mean()


def classes_in(checkpoint: Path) -> set[str]:
    """Return the modules of all classes and functions that the pickle in a checkpoint names."""
    with zipfile.ZipFile(checkpoint) as file:
        (name,) = [name for name in file.namelist() if name.endswith("/data.pkl")]
        operations = list(pickletools.genops(file.read(name)))
    assert "STACK_GLOBAL" not in {operation.name for operation, _, _ in operations}
    return {str(text).split(" ")[0] for operation, text, _ in operations if operation.name == "GLOBAL"}


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.parent.name)
def test_a_checkpoint_names_no_module_of_ours(path):
    assert {module.split(".")[0] for module in classes_in(path)} <= {"torch", "collections"}


def test_a_new_checkpoint_names_no_module_of_ours(config):
    fit(dataclasses.replace(config, steps=1))
    assert {name.split(".")[0] for name in classes_in(config.run / "checkpoint.pt")} <= {
        "torch",
        "collections",
    }


def sets(state: checkpoints.Checkpoint) -> set[str]:
    """Return the names of the data sets that a run was trained on."""
    return {line.split(": ")[0] for line in state.data}


@pytest.fixture(params=[pytest.param(run, id=run.name) for run in RUNS])
def handed(request, tmp_path) -> Path:
    """A copy of a run from elsewhere that may be written to."""
    return Path(shutil.copytree(request.param, tmp_path / request.param.name, copy_function=shutil.copyfile))


@pytest.mark.long
def test_a_run_from_elsewhere_becomes_a_model(handed, tmp_path):
    export(handed, tmp_path / "m.pt")
    package = read_package(tmp_path / "m.pt")
    assert np.isfinite(last_masks(load_model(tmp_path / "m.pt"), package.golden.columns)).all()


@pytest.mark.long
def test_a_run_from_elsewhere_is_a_start_for_new_ones(handed, cache, tmp_path):
    old = checkpoints.load(handed)
    small = changed(old.system, SMALL)
    new = fit(FitConfig(cache, tmp_path / "new", small, steps=1, device="cpu", init=handed))
    assert new.step == 1 and new.earlier["audio_s"] == pytest.approx(old.spent["audio_s"])
    for name, weight in old.average.items():
        torch.testing.assert_close(new.net[name], weight, atol=0.05, rtol=0.05)


@pytest.mark.long
def test_a_run_from_elsewhere_goes_on(handed, cache):
    """One step of a batch of one: its own batch takes a GPU."""
    old = checkpoints.load(handed)
    small = changed(old.system, SMALL)
    checkpoints.save(dataclasses.replace(old, system=small), handed)
    config = FitConfig(cache, handed, small, steps=old.step + 1, device="cpu")
    end = fit(config)
    assert end.step == old.step + 1 and len(end.history) == len(old.history) + 1
    assert end.audio_s > old.audio_s and sets(old) <= sets(end)
