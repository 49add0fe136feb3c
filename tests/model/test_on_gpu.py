"""The way to a GPU, with one: skipped where torch finds none."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from rtsep.files.demo import demo_song
from rtsep.model.catalog import shipped_folder
from rtsep.model.cuda import CudaStep
from rtsep.model.loader import load
from rtsep.model.package import read_package
from rtsep.model.runner import ModelRunner
from rtsep.model.torchscript import take_this_thread, without_warnings
from rtsep.offline.separator import Separator
from tests.gpu import NEEDS_GPU
from tests.models import make_model

pytestmark = NEEDS_GPU

MODELS = sorted(shipped_folder().glob("*.pt"))
STEPS = 400
"""Over two seconds: errors that a state keeps would have grown by then."""


@pytest.fixture(autouse=True)
def _alone():
    """A hop is too short to share among threads, the more where several tests run."""
    threads = torch.get_num_threads()
    take_this_thread()
    yield
    torch.set_num_threads(threads)


def columns_of(model: ModelRunner) -> np.ndarray:
    """Columns of noise whose level goes up and down, as an excerpt's does."""
    draw = np.random.default_rng(5).standard_normal((STEPS, *model.column.shape), np.float32)
    level = 3 * np.sin(np.arange(STEPS) / 40) ** 2
    return draw * level[:, None, None, None].astype(np.float32)


def masks_of(model: ModelRunner, columns: np.ndarray) -> np.ndarray:
    masks = []
    for column in columns:
        model.column[:] = column
        model.step()
        masks.append(model.mask.copy())
    return np.array(masks)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
@pytest.mark.parametrize("graph", [True, False], ids=["graph", "plain"])
def test_masks_of_a_gpu_are_those_of_the_processor(path, graph):
    here, there = load(read_package(path)), load(read_package(path), "cuda", graph=graph)
    assert there.gpu is not None and there.gpu.captured == graph, there.gpu.not_captured
    there.gpu.clocked = True
    columns = columns_of(here)
    expected = masks_of(here, columns)
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(masks_of(there, columns), expected, atol=2e-3)
    assert 0 < there.gpu.device_us < 1e5


def test_a_reset_forgets_all_of_it():
    model = load(read_package(MODELS[0]), "cuda")
    columns = columns_of(model)[:50]
    first = masks_of(model, columns)
    assert not np.array_equal(masks_of(model, columns), first)
    model.reset()
    assert np.array_equal(masks_of(model, columns), first)


@pytest.mark.parametrize("kind", ["state-counter", "echo", "marker"])
def test_a_graph_advances_the_state_and_moves_what_it_is_given(tmp_path, kind):
    package = read_package(make_model(tmp_path / f"{kind}.pt", kind, profile="stage"))
    here, there = load(package), load(package, "cuda")
    columns = columns_of(here)[:150]
    np.testing.assert_allclose(masks_of(there, columns), masks_of(here, columns), atol=1e-6)


class LooksAtItself(torch.nn.Module):
    """Half, by way of the host: what no graph can hold."""

    @torch.jit.export
    def step(self, column: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        state += 1
        return torch.full_like(column[..., 0], 0.5 * float(column.abs().sum() >= 0))


def test_a_program_that_looks_at_its_own_results_is_launched_and_says_why():
    with without_warnings():
        program = torch.jit.script(LooksAtItself())
    step = CudaStep(program.cuda().step, (2, 5), 4)
    mask = torch.zeros(2, 5)
    with torch.inference_mode():
        for _ in range(3):
            step.step(torch.ones(2, 5, 2), mask)
        step.capture()
        assert not step.captured and "captur" in step.not_captured
        mask.zero_()
        step.step(torch.ones(2, 5, 2), mask)  # as before
    assert torch.equal(mask, torch.full((2, 5), 0.5))
    # Nor is the next program worse off for it.
    model = load(read_package(MODELS[0]), "cuda")
    assert model.gpu is not None and model.gpu.captured


def test_stems_of_a_gpu_are_those_of_the_processor():
    audio, rate = soundfile.read(demo_song(), 6 * 48000, dtype="float32", always_2d=True)
    here, there = (Separator(rate=rate, compute=compute).separate(audio.T) for compute in ("cpu", "cuda"))
    for name in ("vocals", "instrumental"):
        expected, found = getattr(here, name), getattr(there, name)
        off_db = 20 * np.log10(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))
        assert off_db < -60
    assert not np.array_equal(here.vocals, there.vocals)  # it was the other one
