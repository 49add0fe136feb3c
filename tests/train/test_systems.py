"""Each preset on its whole way: trained for some steps, exported, scored, played from a file and live."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from rtsep.model.loader import load_model
from tests.cli.program import rtsep, separate_here
from tests.train.conftest import SYSTEM
from train.__main__ import main
from train.data.cache import RATE
from train.learn import checkpoint as checkpoints
from train.learn import presets
from train.learn.gate import check_columns

CAUSAL_SIZES = ("framing", "pool", "channels_down", "dim", "width", "spread", "layers", "objective")
SMALLER = {
    "causal": {name: getattr(SYSTEM, name) for name in CAUSAL_SIZES},
    "unet": {"bins": 64, "columns": 32, "width": 2, "levels": 4},
    "column-resnet": {"n_fft": 128, "window": 9, "width": 4, "stride": 2},
    "column-dense": {"n_fft": 128, "window": 37, "filters": (6, 5, 7, 4), "hidden": 24, "stride": 4},
    "gru": {"framing": SYSTEM.framing, "hidden": 24, "objective": SYSTEM.objective},
}  # fmt: skip
"""Sizes that train and play in moments; all choices stay the preset's own."""

HOPS = {"causal": 320, "unet": 63, "column-resnet": 60, "column-dense": 79, "gru": 320}
PLAYED_LIVE = ("causal", "column-resnet", "column-dense", "gru")


def quick(names: Iterable[str], *kept: str) -> list[Any]:
    """Return `names` as parameters; the others but `kept` for `make test-long`: 10 s of a core each."""
    return [name if name in kept else pytest.param(name, marks=pytest.mark.long) for name in names]


@pytest.fixture(scope="module")
def made(cache, tmp_path_factory):
    """Train and export a preset through the command line, once; returns the model file."""
    folder = tmp_path_factory.mktemp("models")
    files = {}

    def make(name):
        if name not in files:
            full = presets.preset(name)
            assert full.family in HOPS and full.family in SMALLER, f"add '{full.family}' to HOPS and SMALLER"
            training = dataclasses.replace(full.training, batch=2, hops=HOPS[full.family], warmup_steps=2)
            small = dataclasses.replace(full, training=training, **SMALLER[full.family])
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(presets.PRESETS, name, small)
                fit = ["fit", "--system", name, "--cache", cache, "--run", folder / name, "--steps", 3]
                assert main([str(word) for word in (*fit, "--device", "cpu")]) == 0
            export = ["export", "--run", folder / name, "--out", folder / f"{name}.pt", "--name", name]
            assert main([str(word) for word in export]) == 0
            files[name] = folder / f"{name}.pt"
        return files[name]

    return make


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """Three seconds of a tone that comes and goes over noise, in stereo."""
    time = np.arange(3 * RATE) / RATE
    tone = 0.2 * np.sin(2 * np.pi * 440 * time) * (np.sin(2 * np.pi * time) > 0)
    noise = np.random.default_rng(3).standard_normal((time.size, 2)) * 0.03
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, noise + tone[:, None], RATE, subtype="FLOAT")
    return path


@pytest.mark.parametrize(
    "name", quick(presets.PRESETS, "causal", "unet", "column-resnet", "column-dense", "gru")
)
def test_trained_exported_and_played_from_a_file(made, song, name, tmp_path):
    model = made(name)
    played = separate_here(song, "-o", tmp_path, "--model", model, "--subtype", "FLOAT")
    assert played.code == 0, played.said
    mix = soundfile.read(song, dtype="float32")[0]
    vocals, instrumental = (
        soundfile.read(tmp_path / "song" / f"{stem}.wav", dtype="float32")[0]
        for stem in ("vocals", "instrumental")
    )
    assert vocals.shape == mix.shape, "aligned with the input, and as long"
    np.testing.assert_allclose(vocals + instrumental, mix, atol=2e-7)
    share = np.square(vocals).sum() / np.square(mix).sum()
    assert 0.001 < share < 0.999, "an untrained net divides the sound; an unused one does not"


def test_file_holds_the_averaged_weights(made):
    state = checkpoints.load(made("column-resnet").with_suffix(""))
    model = load_model(made("column-resnet"))
    spec, torch_columns = model.spec, check_columns(model.spec)[:30]
    masks = []
    for column in torch_columns:
        model.column[:] = column.numpy()
        model.step()
        masks.append(model.mask.copy())
    of = {}
    for name, weights in (("average", state.average), ("last", state.net)):
        net = state.system.net()
        net.load_state_dict(weights)
        with torch.no_grad():
            of[name] = net.eval().masks(torch_columns).numpy()
    np.testing.assert_allclose(np.stack(masks), of["average"], atol=1e-4)
    assert np.abs(of["average"] - of["last"]).max() > 1e-3
    assert spec.metrics["training"]["steps"] == 3 and spec.metrics["training"]["audio_hours"] >= 0


def test_instrumental_net_plays_what_it_leaves_to_the_voice(made):
    """Nets with the same weights for both targets: one share is the rest of the other."""
    vocals = dataclasses.replace(presets.preset("unet"), **SMALLER["unet"])
    instrumental = dataclasses.replace(vocals, target="instrumental")
    torch.manual_seed(0)
    net = vocals.net().eval()
    other = instrumental.net().eval()
    other.load_state_dict(net.state_dict())
    columns = torch.randn(64, 1, vocals.framing.bins, 2)
    with torch.no_grad():
        torch.testing.assert_close(other.masks(columns)[31:], 1 - net.masks(columns)[31:])


@pytest.mark.parametrize("name", quick(PLAYED_LIVE, "causal"))
def test_played_live(made, song, name, tmp_path):
    words = ["live", "--in", song, "--model", made(name), "--record", tmp_path, "--seconds", 2]
    played = rtsep(*words, "--headless", "--json")
    assert played.code == 0, played.said
    last = played.json[-1]
    assert last["hops"] > 0 and last["late_masks"] < 0.5 * last["hops"]
    mix, vocals = (soundfile.read(tmp_path / f"{stem}.wav")[0] for stem in ("mix", "vocals"))
    share = np.square(vocals).sum() / np.square(mix).sum()
    assert 0.001 < share < 0.9, "masked, not the dry signal that stands in for late masks"
