"""Tiny synthetic songs and a tiny net: everything here runs on two cores in seconds, without any data set."""

import numpy as np
import pytest
import soundfile
import torch

from rtsep.dsp.windows import Framing
from train.data.prepare import prepare
from train.learn.fit_config import FitConfig
from train.learn.loss import LossConfig
from train.learn.nets.causal import Causal
from train.learn.system import Training

FRAMING = Framing(256, 64, 32)
SYSTEM = Causal(
    framing=FRAMING, pool=((32, 1), (64, 2), (32, 4)), channels_down=(6, 8, 10), dim=16, width=12, spread=20,
    layers=2,
    objective=LossConfig(segment_hops=64), training=Training(batch=2, hops=320, warmup_steps=2),
)  # fmt: skip
RATE = 48000


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Nets this small are slower on several, and far slower where other processes are at work."""
    torch.set_num_threads(1)


def _write(path, seed, seconds, tone_hz):
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal((time.size, 2)) * 0.02
    tone = 0.1 * np.sin(2 * np.pi * tone_hz * time) * (np.sin(2 * np.pi * 2 * time) > -0.5)
    soundfile.write(path, noise + tone[:, None], RATE, format="OGG", subtype="OPUS")


def _row(split, source, path, role, rate=RATE):
    return "\t".join([split, source, path, role, str(rate), "2.0", "CC0 1.0"])


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data folder as `prepare` reads it: five clips, a song, two voices, the demo song, a broken file."""
    folder = tmp_path_factory.mktemp("data")
    rows = ["split\tset\tpath\trole\tsample_rate\tseconds\tlicence"]
    names = ["One - A", "Two - B", "Three - C", "Four - D", "ANiMAL - Clinic A"]
    for index, name in enumerate(names):
        for part, stem in enumerate(("vocals", "drums", "bass", "other")):
            path = folder / "musdb18-7/train" / name / f"{stem}.opus"
            _write(path, index * 4 + part, 2.0, 200 * (part + 1))
        rows.append(_row("train", "musdb18-7", f"musdb18-7/train/{name}", "stems"))
    for index, name in enumerate(("hydrogen", "lithium")):
        for part, stem in enumerate(("vocals", "accompaniment")):
            path = folder / "everything-is-free" / name / f"{stem}.opus"
            _write(path, 30 + index * 2 + part, 3.0, 150 + 300 * part)
        rows.append(_row("train", "everything-is-free", f"everything-is-free/{name}", "vocals+accompaniment"))
    _write(folder / "voices/a/train/x.opus", 50, 2.0, 330)
    rows.append(_row("train", "a", "voices/a/train/x.opus", "singing"))
    _write(folder / "voices/b/train/dull.opus", 51, 2.0, 330)
    rows.append(_row("train", "b", "voices/b/train/dull.opus", "singing", 16000))
    (folder / "voices/a/train/broken.opus").write_bytes(b"no audio")
    rows.append(_row("train", "a", "voices/a/train/broken.opus", "singing"))
    rows.append(_row("test", "musdb18-7", "musdb18-7/test/never.stem.mp4", "stems"))
    (folder / "tracks.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def cache(data, tmp_path_factory):
    """The prepared cache of `data`."""
    folder = tmp_path_factory.mktemp("cache")
    assert prepare(data, folder, validation_clips=1) == 1  # the broken file
    return folder


@pytest.fixture
def config(cache, tmp_path):
    """A run of a few steps of a tiny net."""
    return FitConfig(cache=cache, run=tmp_path / "run", system=SYSTEM, steps=4, device="cpu")
