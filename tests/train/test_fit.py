import dataclasses
import json
import os
import signal

import numpy as np
import pytest
import torch

from rtsep.errors import ModelError
from rtsep.model.loader import load_model
from tests.train.conftest import FRAMING
from train import checkpoint as checkpoints
from train.cache import RATE
from train.evaluate import separate as played
from train.export import export
from train.fit import fit, schedule, true_share
from train.remix import Remixer
from train.validation import separate as batched


def test_from_data_to_a_model_that_plays(config, tmp_path):
    state = fit(config)
    assert state.step == 4 and state.audio_s == pytest.approx(4 * 2 * 320 * 32 / RATE)
    (line,) = (config.run / "history.jsonl").read_text().splitlines()
    assert np.isfinite(json.loads(line)["error_db"])
    export(config.run, tmp_path / "tiny.pt", "tiny", None, config.cache)

    model = load_model(tmp_path / "tiny.pt")  # replays the golden frames
    assert model.spec.name == "tiny" and any("CC0" in line for line in model.spec.data)
    mix = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32) * 0.1
    vocals, accompaniment = played(model, mix)
    wanted = batched(checkpoints.load(config.run).average_net().masks, mix, FRAMING)
    np.testing.assert_allclose(vocals, wanted, atol=1e-5)
    np.testing.assert_allclose(vocals + accompaniment, mix, atol=1e-5)


def test_stopped_run_goes_on_as_if_nothing_had_happened(config, tmp_path, monkeypatch):
    whole = fit(config)
    stopped = dataclasses.replace(config, run=tmp_path / "stopped")
    batch = Remixer.batch

    def interrupted(self, seed, size, share):
        if seed == (config.seed, 0, 1):
            os.kill(os.getpid(), signal.SIGTERM)
        return batch(self, seed, size, share)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(Remixer, "batch", interrupted)
        assert fit(stopped).step == 2
    assert signal.getsignal(signal.SIGTERM) is before
    resumed = fit(stopped)
    assert resumed.step == 4
    for name, value in whole.net.items():
        assert torch.equal(value, resumed.net[name]), name
    for name, value in whole.average.items():
        assert torch.equal(value, resumed.average[name]), name


def test_two_processes_share_the_work(config):
    state = fit(dataclasses.replace(config, processes=2, steps=2))
    assert state.step == 2 and state.audio_s == pytest.approx(2 * 2 * 2 * 320 * 32 / RATE)


def test_schedule_warms_up_and_ends_near_nothing(config):
    assert schedule(0, 0, config) == config.rate / 2
    assert schedule(0, 50, config) == config.rate
    assert schedule(1, 99, config) == pytest.approx(config.rate / 100)
    assert true_share(0, config) == 0.6 and true_share(1, config) == 0.85


def test_broken_checkpoint_is_named(tmp_path):
    with pytest.raises(ModelError, match="no such checkpoint"):
        checkpoints.load(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"half")
    with pytest.raises(ModelError, match="not a checkpoint"):
        checkpoints.load(tmp_path)
