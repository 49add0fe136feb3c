import dataclasses

import numpy as np
import pytest
import torch

from rtsep.errors import ModelError
from rtsep.model.loader import GOLDEN_TOLERANCE, load_model
from rtsep.model.loader import load as load_package
from rtsep.model.package import Golden, read_package
from rtsep.model.torchscript import from_bytes
from rtsep.offline.separator import Separator
from tests.models import KINDS, LATER, PlainModel, expected_mask, make_model, make_parts
from tests.programs import NoStep, scripted_bytes

HEALTHY = [kind for kind in KINDS if kind not in ("nan", "raises")]


@pytest.fixture(scope="module")
def load(model_folder):
    def load(kind, **entries):
        name = "-".join([kind, *(f"{k}{v}" for k, v in entries.items())])
        path = model_folder / f"{name}.rtsep"
        if not path.exists():
            make_model(path, kind, work=1, **entries)
        return load_model(path)

    return load


def noise_column(model, seed=0):
    return np.random.default_rng(seed).normal(0, 0.5, model.column.shape).astype(np.float32)


@pytest.mark.parametrize("kind", HEALTHY)
@pytest.mark.parametrize(("profile", "channels", "lookahead"), [("live", 2, 0), ("studio", 1, 3)])
def test_files_of_every_kind_load_and_answer_as_their_plain_twin(load, kind, profile, channels, lookahead):
    model = load(kind, profile=profile, channels=channels, lookahead=lookahead)
    for n in range(12):
        model.column[:] = noise_column(model, n)
        model.step()
        expected = expected_mask(kind, n, model.column, lookahead)
        assert np.abs(model.mask - expected).max() <= 1e-6


def test_step_equals_the_golden_frames(load, model_folder):
    model = load("echo")
    golden = read_package(model_folder / "echo.rtsep").golden
    for column, mask in zip(golden.columns, golden.masks, strict=True):
        model.column[:] = column
        model.step()
        assert np.array_equal(model.mask, mask)
    assert model.golden_error == 0


def test_offline_equals_steps_from_a_zero_state(model_folder, load):
    model = load("state-counter")
    program = from_bytes((model_folder / "state-counter.rtsep").read_bytes())
    columns = np.stack([noise_column(model, n) for n in range(70)])
    offline = program.offline(torch.from_numpy(columns)).numpy()
    model.reset()
    for n, column in enumerate(columns):
        model.column[:] = column
        model.step()
        assert np.array_equal(model.mask, offline[n])


def test_a_model_comes_loaded_with_a_zero_state_and_forgets_on_reset(load):
    model = load("state-counter", description="fresh")
    levels = []
    for _ in range(3):
        model.step()
        levels.append(model.mask.max())
    model.reset()
    model.step()
    assert levels == [0, 1 / 64, 2 / 64]
    assert model.mask.max() == 0


def test_warming_up_leaves_a_zero_state(load):
    model = load("state-counter")
    model.step()
    model.warm_up()
    model.step()
    assert model.mask.max() == 0


def test_two_runners_of_one_file_keep_their_own_state(model_folder, load):
    load("state-counter")
    package = read_package(model_folder / "state-counter.rtsep")
    first, second = load_package(package), load_package(package)
    first.step()
    first.step()
    second.step()
    assert (first.mask.max(), second.mask.max()) == (1 / 64, 0)


def test_bound_buffers_are_read_and_written_and_others_left_alone(load):
    model = load("echo")
    old_column, old_mask = model.column, model.mask
    old_mask[:] = 7
    memory = np.zeros(old_column.size + old_mask.size, np.float32)
    column, mask = memory[: old_column.size].reshape(old_column.shape), memory[old_column.size :]
    mask = mask.reshape(old_mask.shape)
    model.bind(column, mask)
    column[:] = noise_column(model, 3)
    before = column.copy()
    model.step()
    assert np.array_equal(mask, np.clip(before[..., 0], 0, 1))
    assert np.array_equal(column, before)
    assert np.all(old_mask == 7)
    model.bind(old_column, old_mask)


def test_binding_keeps_the_state(load):
    model = load("state-counter", description="bind")
    model.step()
    column, mask = np.zeros_like(model.column), np.zeros_like(model.mask)
    model.bind(column, mask)
    model.step()
    assert mask.max() == 1 / 64


@pytest.mark.parametrize("kind", ["echo", "marker", "state-counter"])
def test_a_separator_plays_a_real_model_as_its_plain_twin(load, kind):
    x = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 9000)).astype(np.float32)
    real = Separator(load(kind, lookahead=2), 44100, 2).process(x)
    plain = Separator(PlainModel(kind, lookahead=2), 44100, 2).process(x)
    assert np.array_equal(real, plain)


def refusal(path):
    with pytest.raises(ModelError) as error:
        load_model(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text


def test_a_wrong_golden_frame_is_refused_with_the_distance(tmp_path):
    parts = make_parts("half", profile="stage")
    masks = parts.golden.masks.copy()
    masks[-1, -1, -1] += 0.25
    wrong = dataclasses.replace(parts, golden=Golden(parts.golden.columns, masks))
    assert "golden frames do not replay (off by 0.25, allowed 0.001)" in refusal(
        wrong.write(tmp_path / "m.rtsep")
    )


@pytest.mark.parametrize(("share", "passes"), [(0.9, True), (1.1, False)])
def test_golden_frames_may_be_off_by_the_tolerance_and_no_more(tmp_path, share, passes):
    parts = make_parts("half", profile="stage")
    masks = parts.golden.masks + np.float32(share * GOLDEN_TOLERANCE)
    path = dataclasses.replace(parts, golden=Golden(parts.golden.columns, masks)).write(tmp_path / "m.rtsep")
    if passes:
        assert load_model(path).golden_error == pytest.approx(share * GOLDEN_TOLERANCE, rel=1e-3)
    else:
        assert "do not replay" in refusal(path)


def test_masks_that_are_no_numbers_do_not_pass_for_golden(tmp_path):
    assert "do not replay (off by nan" in refusal(make_model(tmp_path / "m.rtsep", "nan", profile="stage"))


def test_golden_masks_that_are_no_numbers_do_not_pass_either(tmp_path):
    parts = make_parts("nan", profile="stage")
    masks = np.full_like(parts.golden.masks, np.nan)
    path = dataclasses.replace(parts, golden=Golden(parts.golden.columns, masks)).write(tmp_path / "m.rtsep")
    assert "do not replay (off by nan" in refusal(path)


def test_a_single_nan_in_an_early_frame_does_not_pass(tmp_path):
    parts = make_parts("ones", profile="stage")
    masks = parts.golden.masks.copy()
    masks[0, 0, 0] = np.nan
    path = dataclasses.replace(parts, golden=Golden(parts.golden.columns, masks)).write(tmp_path / "m.rtsep")
    assert "do not replay (off by nan" in refusal(path)


def test_a_program_that_raises_is_refused_with_its_reason(tmp_path):
    text = refusal(make_model(tmp_path / "m.rtsep", "raises", profile="stage"))
    assert "its program fails (" in text and "a program that raises" in text


def test_a_program_for_another_state_is_refused(tmp_path):
    parts = make_parts("ones", profile="stage", state_size=0)
    assert "its program fails (" in refusal(parts.write(tmp_path / "m.rtsep"))


class Narrow(torch.nn.Module):
    def forward(self, column: torch.Tensor) -> torch.Tensor:
        return column

    @torch.jit.export
    def step(self, column: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return column[:, 1:, 0]


class Single(Narrow):
    """torch would copy its answer into every bin."""

    @torch.jit.export
    def step(self, column: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return torch.ones(1, 1)


@pytest.mark.parametrize("program", [Narrow, Single])
def test_a_program_with_masks_of_another_shape_is_refused(tmp_path, program):
    parts = dataclasses.replace(make_parts("ones", profile="stage"), program=scripted_bytes(program()))
    assert "its program fails (a mask of shape [" in refusal(parts.write(tmp_path / "m.rtsep"))


def test_a_program_without_step_is_refused(tmp_path):
    parts = make_parts("ones", profile="stage")
    other = dataclasses.replace(parts, program=scripted_bytes(NoStep()))
    assert "its program has no method 'step'" in refusal(other.write(tmp_path / "m.rtsep"))


def test_an_archive_that_torch_cannot_load_is_refused(tmp_path):
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/version", "3\n")
    parts = dataclasses.replace(make_parts("ones", profile="stage"), program=buffer.getvalue())
    assert "torch cannot load it" in refusal(parts.write(tmp_path / "m.rtsep"))


def test_trouble_that_starts_later_loads(load):
    model = load("raises-later")
    for _ in range(LATER):
        model.step()
    with pytest.raises(torch.jit.Error):
        model.step()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none_is_refused_with_the_remedy(load, model_folder):
    load("ones")
    with pytest.raises(ModelError, match="finds no CUDA device here; use --compute cpu"):
        load_model(model_folder / "ones.rtsep", "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("graph", [True, False])
def test_a_gpu_gives_the_masks_and_states_of_the_processor(load, model_folder, graph):
    here = load("state-counter")
    there = load_package(read_package(model_folder / "state-counter.rtsep"), "cuda", graph=graph)
    assert there.gpu.captured is graph
    for run in range(2):
        for number in range(20):
            column = noise_column(here, number)
            for model in (here, there):
                model.column[:] = column
                model.step()
            np.testing.assert_allclose(there.mask, here.mask, atol=1e-5, err_msg=f"run {run}, step {number}")
        assert there.gpu.device_us > 0
        here.reset()
        there.reset()
