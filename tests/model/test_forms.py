"""Models of more than one form: a second one is a file and a line, and nothing else is different for it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from rtsep.bench import hop
from rtsep.cli import main as cli
from rtsep.errors import ModelError
from rtsep.model import launch, loader
from rtsep.model.contract import TORCHSCRIPT, ModelSpec
from rtsep.model.loader import load, load_model
from rtsep.model.package import Golden, read_package, write_package
from rtsep.model.supervisor import ModelSupervisor
from rtsep.offline.separator import Separator
from rtsep.realtime import mask_exchange
from rtsep.realtime.mask_exchange import CAPACITY, MaskExchange
from tests.model.numpy_form import NumpyRunner, program_bytes
from tests.model.test_supervisor import ROOT, is_ready, wait_until
from tests.models import make_model, make_parts, make_spec

LINE = "loader.FORMS['numpy', 'cpu'] = 'tests.model.numpy_form:FORM'"
PROCESS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from rtsep.model import loader
{LINE}
from rtsep.model.launch import main
sys.exit(main())
"""
SPEC = make_spec("echo", "stage", form="numpy", state_size=0)
WEIGHTS = np.random.default_rng(3).uniform(0.2, 2, (SPEC.channels, SPEC.bins)).astype(np.float32)


@pytest.fixture(autouse=True)
def two_forms(monkeypatch):
    monkeypatch.setattr(loader, "FORMS", dict(loader.FORMS))
    exec(LINE, {"loader": loader})


def noise(count: int) -> np.ndarray:
    shape = (count, SPEC.channels, SPEC.bins, 2)
    return np.random.default_rng(1).normal(0, 0.5, shape).astype(np.float32)


def expected_masks(columns: np.ndarray) -> np.ndarray:
    runner, masks = NumpyRunner(SPEC, WEIGHTS), []
    for column in columns:
        runner.column[:] = column
        runner.step()
        masks.append(runner.mask.copy())
    return np.stack(masks)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    columns = noise(8)
    golden = Golden(columns, expected_masks(columns))
    write_package(tmp_path / "numpy.pt", program_bytes(WEIGHTS), SPEC, golden)
    return tmp_path / "numpy.pt"


def test_its_golden_frames_are_replayed_and_a_wrong_one_is_refused(path):
    assert load_model(path).golden_error == 0
    package = read_package(path)
    package.golden.masks[-1] += 0.25
    with pytest.raises(ModelError, match=r"do not replay \(off by 0\.25.*this numpy \("):
        load(package)


def test_what_its_program_raises_is_one_line(path):
    package = read_package(path)
    broken = dataclasses.replace(package, spec=dataclasses.replace(SPEC, channels=1))
    with pytest.raises(ModelError, match=r"its program fails \(.*shape.*\); export it again"):
        load(broken)


@pytest.fixture
def of_two_forms(monkeypatch):
    """Have model processes begin with the second form in their table, too."""
    monkeypatch.setattr(launch, "COMMAND", [sys.executable, "-c", PROCESS])
    monkeypatch.setattr(launch, "_prepared", None)  # an earlier test may have left one, of the usual command


def test_the_model_process_plays_it_without_torch(path, of_two_forms):
    shared = MaskExchange.create(SPEC.channels, SPEC.bins)
    supervisor = ModelSupervisor(shared, path, "cpu", read_package(path).sha256)
    columns = noise(20)
    try:
        supervisor.start()
        wait_until(lambda: is_ready(shared), "ready")
        for number, (column, mask) in enumerate(zip(columns, expected_masks(columns), strict=True)):
            shared.exchange.columns[number % CAPACITY] = column
            mask_exchange.publish_column(shared.exchange, number)
            wait_until(lambda number=number: mask_exchange.mask_is_there(shared.exchange, number), "a mask")
            assert np.array_equal(shared.exchange.masks[number % CAPACITY], mask)
        if Path("/proc/self/maps").exists():
            assert "libtorch" not in Path(f"/proc/{supervisor.pid}/maps").read_text()
    finally:
        supervisor.stop()
        shared.close()


def test_the_separator_the_bench_and_the_check_take_it(path, capsys, monkeypatch, of_two_forms):
    audio = np.random.default_rng(2).uniform(-0.5, 0.5, (2, 30_000)).astype(np.float32)
    stems = Separator(path).separate(audio)
    twin = Separator(NumpyRunner(SPEC, WEIGHTS)).separate(audio)
    assert np.array_equal(stems.vocals, twin.vocals) and np.ptp(stems.vocals) > 0.01

    assert cli.main(["models", "check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["golden_error"] == 0

    monkeypatch.setattr(hop, "_quiet_thread", lambda core: False)  # this process goes on
    parser = argparse.ArgumentParser()
    hop.fill_parser(parser)
    rows = hop.run(parser.parse_args(["--model", str(path), "--seconds", "0.1"])).rows
    assert {row["stage"] for row in rows} == set(hop.STAGES) - {hop.ON_GPU}


def test_a_form_that_nobody_runs_and_a_device_that_it_does_not_run_on_are_refused(path):
    with pytest.raises(ModelError, match=r"form 'numpy' does not run on 'cuda'; use --compute cpu$"):
        load_model(path, "cuda")
    package = read_package(path)
    strange = dataclasses.replace(package, spec=dataclasses.replace(SPEC, form="abacus"))
    with pytest.raises(
        ModelError, match=r"^.*numpy\.pt: form 'abacus' is not supported .*\(torchscript, numpy\)"
    ):
        load(strange)
    loader.FORMS["abacus", "cpu"] = "abacus_library:FORM"
    with pytest.raises(ModelError, match=r"form 'abacus' needs a library that is missing here"):
        load(strange)


def test_a_spec_without_a_form_is_torchscript_and_says_nothing_of_it():
    spec = make_spec()
    assert "form" not in json.loads(spec.to_json())
    assert ModelSpec.from_json(spec.to_json()).form == TORCHSCRIPT == "torchscript"
    assert ModelSpec.from_json(SPEC.to_json()) == SPEC


# --- the bytes that were checked are the bytes that play ----------------------------------------------------


@pytest.mark.parametrize("kind", ["numpy", "torchscript"])
def test_a_file_is_read_once(path, tmp_path, kind):
    if kind == "torchscript":
        path = make_model(tmp_path / "half.pt", "half", profile="stage")
    package = read_package(path)
    path.write_bytes(b"something else")
    assert load(package).golden_error == 0


def test_bytes_that_another_process_has_verified_are_accepted_and_no_others(tmp_path):
    path = make_model(tmp_path / "half.pt", "half", profile="stage")
    verified = read_package(path).sha256
    assert read_package(path, verified).sha256 == verified
    make_parts("half", profile="stage", description="another").write(path)
    with pytest.raises(ModelError, match=r"half\.pt: was changed after its check; choose it again"):
        read_package(path, verified)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="truncated"):
        read_package(path, verified)


def test_a_model_process_plays_no_other_bytes_than_those_that_were_verified(tmp_path):
    path = make_model(tmp_path / "m.pt", "half", profile="stage")
    verified, content = read_package(path).sha256, path.read_bytes()
    spec = make_spec("half", "stage")
    shared = MaskExchange.create(spec.channels, spec.bins)
    supervisor = ModelSupervisor(shared, path, "cpu", verified)
    try:
        make_model(path, "ones", profile="stage")
        with pytest.raises(ModelError, match="was changed after its check"):
            supervisor.start()
    finally:
        supervisor.stop()
        shared.close()

    path.write_bytes(content)
    shared = MaskExchange.create(spec.channels, spec.bins)
    supervisor = ModelSupervisor(shared, path, "cpu", verified)
    try:
        supervisor.start()
        wait_until(lambda: is_ready(shared), "ready")
        make_model(path, "ones", profile="stage")
        os.kill(supervisor.pid, signal.SIGKILL)
        wait_until(lambda: "was changed" in supervisor.last_error, "a refusal of the other model")
        path.write_bytes(content)
        wait_until(lambda: is_ready(shared), "ready again")
    finally:
        supervisor.stop()
        shared.close()
