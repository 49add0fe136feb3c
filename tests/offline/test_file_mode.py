"""A file through a model that looks far ahead at a low rate: aligned, whole, whatever its length."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from rtsep.controls import Controls
from rtsep.offline.file_mode import separate_file
from rtsep.offline.separator import Separator
from tests.dsp.test_band_above import marked_gain
from tests.dsp.twins import decibels, noise
from tests.models import FRAMINGS, PlainModel, make_spec

STEMS = ("vocals", "instrumental")


def model(kind="marker", **changes):
    return PlainModel(kind, **(FRAMINGS["unet"] | {"band_above": "follow"} | changes))


def separate(folder, x, rate, kind="marker", block=8192, **changes):
    """Return stems [2, channels, frames] of `x` [channels, frames], and the result."""
    path = folder / "in.wav"
    soundfile.write(path, x.T, rate, subtype="FLOAT")
    result = separate_file(path, folder / "out", model(kind, **changes), Controls(), "FLOAT", block)
    stems = [soundfile.read(result.stems[name], dtype="float32", always_2d=True)[0].T for name in STEMS]
    return np.stack(stems), result


@pytest.mark.parametrize("rate", [44100, 48000])
def test_stems_are_aligned_and_whole(tmp_path, rate):
    x = noise(2, 13 * rate + 11)  # longer than the latency
    stems, result = separate(tmp_path, x, rate)
    assert stems.shape == (2, *x.shape)
    assert result.latency_samples == Separator(model(), rate, 2).latency > 12 * rate
    meant = marked_gain(make_spec(**FRAMINGS["unet"]), rate, x.shape[1]) * x
    assert decibels(stems[0] - meant, meant) < -50
    assert np.array_equal(stems[1], x - stems[0])


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("frames", [1, 10, 4000, 30001])
@pytest.mark.parametrize("block", [512, 8192])
def test_a_file_shorter_than_the_latency_comes_out_whole(tmp_path, rate, frames, block):
    x = noise(2, frames)
    stems, result = separate(tmp_path, x, rate, "ones", block)
    assert result.latency_samples > frames
    assert stems.shape == (2, *x.shape)
    assert np.abs(stems[0] - x).max() < 5e-6
    assert np.array_equal(stems[1], x - stems[0])


@pytest.mark.parametrize("rate", [8000, 32000, 96000])
@pytest.mark.parametrize("system", ["unet", "column-resnet"])
def test_other_rates_come_out_whole(tmp_path, rate, system):
    x = noise(2, rate // 2)
    stems, _ = separate(tmp_path, x, rate, "ones", **FRAMINGS[system] | {"lookahead": 12})
    assert decibels(stems[0] - x, x) < -120


def test_memory_does_not_grow_with_the_file():
    separator = Separator(model("half"), 44100, 1)
    block = noise(1, 8192)
    for _ in range(70):  # past the latency
        separator.process(block)
    tracemalloc.start()
    for _ in range(2):
        separator.process(block)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(100):
        separator.process(block)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 2 * separator._stream._feeds.nbytes  # what waits for the next hop differs by no more
