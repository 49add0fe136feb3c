"""The way to a GPU, without one: what torch would say there, and what becomes of it."""

from __future__ import annotations

import contextlib
import types
from typing import Any

import pytest
import torch

from rtsep.errors import ModelError
from rtsep.model import cuda
from rtsep.model.cuda import CudaStep, cause_line
from rtsep.model.loader import load
from rtsep.model.package import read_package
from tests.models import make_model

ADVICE = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below "
    "might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)
NO_IMAGE = "CUDA error: no kernel image is available for execution on the device"
BUSY = "CUDA error: CUDA-capable device(s) is/are busy or unavailable"
IN_A_PROGRAM = (
    "The following operation failed in the TorchScript interpreter.\n"
    "Traceback of TorchScript, serialized code (most recent call last):\n"
    '  File "code/__torch__/net.py", line 12, in step\n    mask = torch.relu(column)\n'
    "           ~~~~~~~~~~ <--- HERE\n"
)
FULL = "CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0 has a total capacity of 79.10 GiB."
DIFFER = "RuntimeError: shapes [2, 3] and [4] differ"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (NO_IMAGE + ADVICE, NO_IMAGE),
        (f"{IN_A_PROGRAM}RuntimeError: {NO_IMAGE}{ADVICE}", NO_IMAGE),
        (FULL, "CUDA out of memory. Tried to allocate 2.00 MiB"),
        (f"{IN_A_PROGRAM}{DIFFER}\n", DIFFER),
        ("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        ("\n", "RuntimeError"),
    ],
)  # fmt: skip
def test_of_what_torch_says_the_line_that_tells_is_taken(message, line):
    assert cause_line(RuntimeError(message)) == line


# --- a runner whose GPU fails ------------------------------------------------------------------------------


class Gpu:
    """Replaces `CudaStep`, and fails at the requested place."""

    captured = False

    def __init__(self, fault: str, at: str) -> None:
        self._fault, self._at = fault, at

    def __call__(self, *_: Any) -> Gpu:
        self._reach("made")
        return self

    def step(self, column: torch.Tensor, mask: torch.Tensor) -> None:
        self._reach("step")

    def capture(self) -> None:
        self._reach("capture")

    def reset(self) -> None:
        pass

    def _reach(self, at: str) -> None:
        if at == self._at:
            raise RuntimeError(self._fault)


@pytest.fixture
def package(tmp_path):
    return read_package(make_model(tmp_path / "half.pt", "half", profile="stage"))


@pytest.fixture
def gpu(monkeypatch):
    """Put this GPU into the machine."""
    load_checked = cuda.load_checked

    def put(fake: Gpu) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(cuda, "load_checked", lambda package, device: load_checked(package))
        monkeypatch.setattr(cuda, "CudaStep", fake)

    return put


@pytest.mark.parametrize("at", ["made", "step", "capture"])
@pytest.mark.parametrize("fault", [NO_IMAGE, BUSY])
def test_a_gpu_that_fails_is_one_line_with_the_remedy(gpu, package, at, fault):
    gpu(Gpu(fault + ADVICE, at))
    with pytest.raises(ModelError) as refused:
        load(package, "cuda")
    said = str(refused.value)
    assert said == f"{package.path}: does not run on the GPU here ({fault}); use --compute cpu"


@pytest.mark.parametrize("message", [FULL, BUSY + ADVICE])
def test_a_gpu_without_room_for_the_file_does_not_make_the_file_wrong(monkeypatch, package, message):
    def refuse(*_: Any) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch._C, "import_ir_module_from_buffer", refuse)
    with pytest.raises(
        ModelError, match=r"does not run on the GPU here \(CUDA .*\); use --compute cpu$"
    ) as said:
        load(package, "cuda")
    assert "\n" not in str(said.value)
    with pytest.raises(ModelError, match="torch cannot load it"):
        load(package)


# --- a step whose torch has no GPU -------------------------------------------------------------------------


class Torch:
    """The parts of torch that `CudaStep` uses, in ordinary memory; with `fault`, capturing fails."""

    def __init__(self, fault: str = "") -> None:
        self._fault, self.clock_read = fault, 0
        ignore = types.SimpleNamespace
        self.cuda = ignore(
            current_stream=lambda: ignore(synchronize=lambda: None),
            Event=lambda enable_timing: ignore(record=self._record, elapsed_time=lambda _: 0.25),
            CUDAGraph=lambda: ignore(replay=lambda: None), graph=self._graph, synchronize=lambda: None,
        )  # fmt: skip

    def zeros(self, shape: Any, pin_memory: bool = False, device: str = "cpu") -> torch.Tensor:
        return torch.zeros(shape)

    def _record(self, _line: Any) -> None:
        self.clock_read += 1

    @contextlib.contextmanager
    def _graph(self, graph: Any) -> Any:
        yield
        if self._fault:
            raise RuntimeError(self._fault)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """Settings of a step for cuBLAS must not remain in this process."""
    for variable in cuda.WITHOUT_WORKSPACE:
        monkeypatch.setenv(variable, "as it was")


def doubling(column: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    return 2 * column[..., 0]


def test_why_a_step_was_not_captured_is_kept_and_it_is_launched_as_before(monkeypatch):
    forbidden = "CUDA error: operation not permitted when stream is capturing"
    monkeypatch.setattr(cuda, "torch", without := Torch(forbidden + ADVICE))
    step = CudaStep(doubling, (1, 3), 2)
    assert step.not_captured == ""
    step.capture()
    assert step.not_captured == forbidden and not step.captured
    mask = torch.zeros(1, 3)
    step.step(torch.ones(1, 3, 2), mask)
    assert torch.equal(mask, torch.full((1, 3), 2.0)) and without.clock_read == 0
    step.clocked = True
    step.step(torch.ones(1, 3, 2), mask)
    assert without.clock_read == 2 and step.device_us == 250
    monkeypatch.setattr(cuda, "torch", Torch())
    step.capture()
    assert step.captured and step.not_captured == ""
