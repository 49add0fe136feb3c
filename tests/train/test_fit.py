import dataclasses
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rtsep.errors import InputFileError, ModelError, UsageError
from rtsep.model.loader import load_model
from rtsep.model.package import read_package
from tests.models import make_model
from tests.train.conftest import SYSTEM
from train.data.cache import RATE
from train.data.remix import Remixer
from train.learn import checkpoint as checkpoints
from train.learn import presets
from train.learn.averaging import recalibrate_batchnorm
from train.learn.checkpoint import Checkpoint
from train.learn.export import export
from train.learn.fit import fit
from train.learn.mixtures import Mixtures, at_rate, batches
from train.learn.nets.unet import UNet
from train.learn.optimisers import clipped_step, make_optimiser
from train.learn.schedule import CYCLES, learning_rate, true_share
from train.learn.system import Training
from train.learn.validation import separate as batched
from train.score.evaluate import separate as played


def test_from_data_to_a_model_that_plays(config, tmp_path):
    state = fit(config)
    assert state.step == 4 and state.audio_s == pytest.approx(4 * 2 * 320 * 32 / RATE)
    (line,) = (config.run / "history.jsonl").read_text().splitlines()
    assert np.isfinite(json.loads(line)["error_db"])
    export(config.run, tmp_path / "tiny.pt", "tiny")

    model = load_model(tmp_path / "tiny.pt")  # replays the golden frames
    assert model.spec.name == "tiny" and any("CC0" in line for line in model.spec.data)
    assert model.spec.metrics["training"]["steps"] == 4 and "free" in model.spec.licence
    mix = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32) * 0.1
    vocals, accompaniment = played(model, mix)
    net = checkpoints.load(config.run).average_net()
    wanted = batched(SYSTEM.program(net), SYSTEM, mix)
    np.testing.assert_allclose(vocals, wanted, atol=1e-5)
    np.testing.assert_allclose(vocals + accompaniment, mix, atol=1e-5)


def _assert_same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


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
    _assert_same(whole.net, resumed.net)
    _assert_same(whole.average, resumed.average)


def test_run_with_batch_norm_and_dropout_goes_on_the_same(config, tmp_path, monkeypatch):
    unet = UNet(bins=64, columns=32, width=2, levels=4, training=Training(batch=2, hops=63, warmup_steps=2))
    config = dataclasses.replace(config, system=unet, steps=3)
    whole = fit(config)
    stopped = dataclasses.replace(config, run=tmp_path / "stopped")
    batch = Remixer.batch

    def interrupted(self, seed, size, share):
        if seed == (config.seed, 0, 1):
            os.kill(os.getpid(), signal.SIGINT)
        return batch(self, seed, size, share)

    with monkeypatch.context() as patch:
        patch.setattr(Remixer, "batch", interrupted)
        assert fit(stopped).step == 2
    resumed = fit(stopped)
    _assert_same(whole.net, resumed.net)
    _assert_same(whole.average, resumed.average)


def test_averaged_weights_get_statistics_of_their_own():
    unet = UNet(bins=64, columns=32, width=2, levels=4, bfloat16=False)
    torch.manual_seed(0)
    net = unet.net()
    average = {name: value.clone() for name, value in net.state_dict().items()}
    waves = [torch.randn(2, 2, 2, unet.framing.n_fft + 63 * unet.framing.hop) for _ in range(3)]
    recalibrate_batchnorm(average, unet, torch.device("cpu"), iter(waves))
    wanted = []
    handle = net.encoder[0][1].register_forward_pre_hook(
        lambda _, inputs: wanted.append(inputs[0].mean((0, 2, 3)))
    )
    with torch.no_grad():
        for batch in waves:
            unet.loss(net.eval(), batch)
    handle.remove()
    torch.testing.assert_close(average["encoder.0.1.running_mean"], torch.stack(wanted).mean(0))
    for name, value in net.named_parameters():
        assert torch.equal(average[name], value), "weights stay as they were"


@pytest.mark.parametrize(
    "wrong", [{"threads": 0}, {"workers": -1}, {"steps": 0}, {"minutes": 0}, {"seed": -1}, {"device": "gpu"}]
)
def test_choices_that_cannot_be_are_refused(config, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        dataclasses.replace(config, **wrong)


def test_choices_of_a_system_by_name():
    system = presets.changed(SYSTEM, ["layers=3", "training.learning_rate=1", "training.schedule=cyclic"])
    assert system.layers == 3 and system.training.schedule == "cyclic"
    assert system.training.learning_rate == 1.0 and system.dim == SYSTEM.dim
    assert presets.changed(SYSTEM, ["training.recipe.mono=0.5"]).training.recipe.mono == 0.5
    for wrong in ("layer=3", "layers=2.5", "layers=x", "training=1", "training.hop=3", "dim.x=1", "layers"):
        with pytest.raises(UsageError, match="--set " + wrong):
            presets.changed(SYSTEM, [wrong])


def test_new_run_starts_from_another_ones_weights(config, tmp_path):
    first = fit(config)
    again = fit(dataclasses.replace(config, run=tmp_path / "b", init=config.run, steps=1, seed=9))
    moved = max(float((again.net[name] - value).abs().max()) for name, value in first.average.items())
    assert 0 < moved < 0.01  # one step away from there
    # More than the last run is in the weights.
    third = fit(dataclasses.replace(config, run=tmp_path / "c", init=tmp_path / "b", steps=1))
    assert third.spent == {
        name: pytest.approx(sum(getattr(run, name) for run in (first, again, third)))
        for name in ("elapsed_s", "cpu_s", "audio_s")
    }
    long = dataclasses.replace(third, earlier={"elapsed_s": 3600.0, "cpu_s": 1800.0, "audio_s": 36000.0})
    checkpoints.save(long, tmp_path / "c")
    export(tmp_path / "c", tmp_path / "c.pt")
    spec = read_package(tmp_path / "c.pt").spec
    told = spec.metrics["training"]
    assert (told["steps"], told["minutes"] >= 60, told["audio_hours"] >= 10) == (1, True, True)
    assert "10.0 h of mixtures" in spec.description


def test_a_model_file_is_a_start_as_good_as_its_run(config, tmp_path):
    first = fit(config)
    path = tmp_path / "m.pt"
    export(config.run, path, mask=(0.7, 0.2))
    # The training uses the logits before their calibration.
    carried = checkpoints.load(path)
    assert carried.system == first.system and carried.data == first.data and carried.step == first.step
    assert all(torch.equal(carried.average[name], value) for name, value in first.average.items())
    from_run, from_file = (
        fit(dataclasses.replace(config, run=tmp_path / name, init=init, steps=1))
        for name, init in (("b", config.run), ("c", path))
    )
    assert all(torch.equal(from_file.net[name], value) for name, value in from_run.net.items())
    again = tmp_path / "again.pt"
    export(path, again, mask=(0.7, 0.2))
    assert read_package(again).spec == read_package(path).spec
    np.testing.assert_array_equal(read_package(again).golden.masks, read_package(path).golden.masks)


def test_a_model_file_without_its_run_or_with_a_flipped_byte_is_no_start(config, tmp_path):
    fit(config)
    path = tmp_path / "m.pt"
    export(config.run, path)
    content = bytearray(path.read_bytes())
    content[content.find(b"outcome.pt") + 400] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.pt"):
        checkpoints.load(path)
    with pytest.raises(ModelError, match="not a checkpoint"):
        checkpoints.load(make_model(tmp_path / "bare.pt", "half"))


def test_weights_bring_the_licences_of_what_they_learnt_from(config, tmp_path):
    first = fit(config)
    first.data = ("songs elsewhere: 3.0 min, CC BY-NC 4.0", *first.data)
    checkpoints.save(first, config.run)
    again = fit(dataclasses.replace(config, run=tmp_path / "b", init=config.run, steps=1))
    assert "songs elsewhere: 3.0 min, CC BY-NC 4.0" in again.data and len(again.data) == len(first.data)


def test_new_run_takes_over_what_fits_and_says_what_does_not(config, tmp_path, capsys):
    first = fit(config)
    capsys.readouterr()
    finer = dataclasses.replace(SYSTEM, channels_down=(4, *SYSTEM.channels_down[1:]))
    again = fit(dataclasses.replace(config, run=tmp_path / "b", system=finer, init=config.run, steps=1))
    said = capsys.readouterr().out
    assert "weights fit; new ones: down.0.weight, first.bias" in said
    kept = first.average["blocks.0.gates.weight"]
    assert 0 < float((again.net["blocks.0.gates.weight"] - kept).abs().max()) < 0.01
    assert again.net["first.weight"].shape[0] == 4
    another = presets.preset("column-dense")
    with pytest.raises(ModelError, match="weights of another net; none of them fits"):
        fit(dataclasses.replace(config, run=tmp_path / "c", system=another, init=config.run))


def test_run_of_other_options_is_not_continued(config):
    fit(dataclasses.replace(config, steps=1))
    other = dataclasses.replace(SYSTEM, training=dataclasses.replace(SYSTEM.training, learning_rate=1e-4))
    with pytest.raises(ModelError, match="other options"):
        fit(dataclasses.replace(config, system=other))


WORKER = """
import sys
from pathlib import Path
from tests.models import make_model
from tests.train.conftest import SYSTEM
from train.learn.fit import fit
from train.learn.fit_config import FitConfig
if __name__ == "__main__":
    fit(FitConfig(cache=Path(sys.argv[1]), run=Path(sys.argv[2]), system=SYSTEM, steps=3, device="cpu",
                  workers=int(sys.argv[3])))
"""


@pytest.mark.long
def test_replicas_under_torchrun_average_their_gradients(config, tmp_path):
    """Two processes with a batch of 2 each learn what the same four mixtures give in one."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(script), str(config.cache), str(config.run), "1"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    state = checkpoints.load(config.run)
    assert state.step == 3 and state.audio_s == pytest.approx(3 * 2 * 2 * 320 * 32 / RATE)

    # The same by hand: the gradient of the mean loss is the mean of the replicas' gradients.
    torch.manual_seed(config.seed)
    net = SYSTEM.net()
    drawn = [Mixtures(config.cache, SYSTEM, config.seed, rank) for rank in (0, 1)]
    SYSTEM.normalise(net, drawn[0].batch(2**20, 24, SYSTEM.training.true_share[0]))
    optimiser = make_optimiser(net.train(), SYSTEM.training)
    for step in range(3):
        optimiser.zero_grad()
        share = true_share(step / 3, SYSTEM.training)
        for mixtures in drawn:
            (SYSTEM.loss(net, mixtures[step, share]) / 2).backward()
        clipped_step(net, optimiser, learning_rate(step / 3, step, SYSTEM.training), SYSTEM.training.clip)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(state.net[name], value, atol=1e-5, rtol=1e-4)


def test_drawing_ahead_in_other_processes_changes_nothing(config):
    mixtures = Mixtures(config.cache, SYSTEM, 3)
    alone = batches(mixtures, 5, lambda step: 0.5, workers=0, pinned=False)
    opened = Mixtures(config.cache, SYSTEM, 3)
    opened.batch(0, 1, 0.5)
    assert len(pickle.dumps(opened)) < 10_000, "the memory map does not travel"
    ahead = batches(opened, 5, lambda step: 0.5, workers=1, pinned=False)
    for _ in range(3):
        assert torch.equal(next(alone), next(ahead))


def test_mixtures_at_another_rate_keep_their_pitch():
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 1000 * time).astype(np.float32)[None, None].repeat(2, 1)
    slow = at_rate(tone, 8192, 8000)
    assert slow.shape == (1, 2, 8000)
    wanted = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8192)
    np.testing.assert_allclose(slow[0, 1, 500:7500], wanted[500:7500], atol=2e-3)
    assert at_rate(tone, 8192, 9000)[..., 8192:].max() == 0


def test_schedules():
    training = Training(learning_rate=1.0, warmup_steps=10)
    assert learning_rate(0, 0, training) == 0.1 and learning_rate(0, 50, training) == 1
    assert learning_rate(1, 99, training) == pytest.approx(0.01)
    cyclic = dataclasses.replace(training, schedule="cyclic")
    peaks = [learning_rate((k + 0.5) / CYCLES, 99, cyclic) for k in range(CYCLES)]
    np.testing.assert_allclose(peaks, [0.5**k for k in range(CYCLES)], atol=0.02)
    assert learning_rate(1 / CYCLES, 99, cyclic) < 0.02
    assert learning_rate(0.7, 99, dataclasses.replace(training, schedule="constant")) == 1
    with pytest.raises(UsageError, match="cosine, cyclic"):
        learning_rate(0, 0, dataclasses.replace(training, schedule="linear"))
    assert true_share(0, training) == 0.6 and true_share(1, training) == 0.85


@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets_survive_a_checkpoint(name):
    system = presets.preset(name)
    plain = presets.to_plain(system)
    assert presets.from_plain(plain) == system
    json.dumps(plain)  # plain enough for run.json


def test_unknown_preset_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'causal'"):
        presets.preset("causel")
    with pytest.raises(ModelError, match="of another version of train"):
        presets.from_plain({"family": "none", "options": {}})


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.pop("system"),
        lambda raw: raw.update(system=5),
        lambda raw: raw["system"].update(options=5),
        lambda raw: raw.update(later=1),
        lambda raw: raw.pop("net"),
        lambda raw: raw.update(average={"first.weight": 1.0}),
        lambda raw: raw["average"].pop("first.weight"),
        lambda raw: raw["net"].pop("first.weight"),
        lambda raw: raw["average"].update({"first.weight": torch.zeros(3)}),
        lambda raw: raw.update(optimiser={"param_groups": []}),
    ],
)
def test_a_checkpoint_of_another_version_is_one_line(config, change):
    weights = SYSTEM.net().state_dict()
    raw = checkpoints._plain(Checkpoint(SYSTEM, weights, dict(weights)))
    change(raw)
    config.run.mkdir()
    torch.save(raw, config.run / "checkpoint.pt")
    with pytest.raises(ModelError, match=re.escape(str(config.run))) as caught:
        fit(config)
    assert "\n" not in str(caught.value)


def test_weights_of_another_net_are_no_traceback():
    weights = SYSTEM.net().state_dict()
    with pytest.raises(ModelError, match="not those of the checkpoint's system"):
        Checkpoint(SYSTEM, weights, dict(list(weights.items())[1:])).average_net()


def test_scores_of_another_kind_are_no_traceback(config, tmp_path):
    weights = SYSTEM.net().state_dict()
    checkpoints.save(Checkpoint(SYSTEM, weights, weights), config.run)
    (tmp_path / "scores.json").write_text("[]")
    with pytest.raises(InputFileError, match="not the JSON"):
        export(config.run, tmp_path / "m.pt", metrics=tmp_path / "scores.json")


def test_broken_checkpoint_is_named(tmp_path):
    with pytest.raises(ModelError, match="no such checkpoint"):
        checkpoints.load(tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"half")
    with pytest.raises(ModelError, match="not a checkpoint"):
        checkpoints.load(tmp_path)
