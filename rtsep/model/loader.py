"""Loading a model into torch, and proving it; with `cuda` all of the runtime that touches torch."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rtsep.errors import ModelError
from rtsep.model.contract import ModelSpec
from rtsep.model.cuda import CudaStep, speaks_of_gpu, telling_line
from rtsep.model.package import ModelPackage, read_package

GOLDEN_TOLERANCE = 1e-3
"""Largest allowed difference of a replayed golden mask: other processors round differently."""

WARM_UP_STEPS = 12
"""Steps before the first real one: TorchScript profiles and compiles during its first calls."""

_SMALLEST = np.float32(1e-45)
"""A denormal number."""


def take_this_thread() -> None:
    """Set torch up for one thread that does nothing else: a hop is too short to share among threads.

    For programs of our own; whoever uses the library decides for itself.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Set torch up as `take_this_thread` does, and back again on the way out."""
    threads = torch.get_num_threads()
    flushed = bool(_SMALLEST * np.float32(1) == 0)  # torch does not say
    take_this_thread()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)


class Stepper:
    """A loaded model and its state: one column in, one mask out, in the caller's own buffers."""

    def __init__(self, package: ModelPackage, device: str = "cpu", graph: bool = True) -> None:
        """Load, check and warm up `package`; raises `ModelError` with the reason.

        `device` is "cpu" or "cuda"; `graph=False` launches the kernels of a GPU one by one, for comparison.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise ModelError("--device cuda: torch finds no CUDA device here; use --device cpu")
        self.spec: ModelSpec = package.spec
        self._module = _load(package.path, torch.device(device))
        self._state = torch.zeros(self.spec.state_size)
        shape = (self.spec.channels, self.spec.bins)
        self.column: NDArray[np.float32] = np.zeros((*shape, 2), np.float32)
        self.mask: NDArray[np.float32] = np.zeros(shape, np.float32)
        self.gpu = _on_gpu(package.path, self._module, shape, self.spec) if device == "cuda" else None
        self._captures = graph
        self.bind(self.column, self.mask)
        self._replay(package)

    def bind(self, column: NDArray[np.float32], mask: NDArray[np.float32]) -> None:
        """Read columns from and write masks to these arrays from now on (shared memory, say)."""
        self.column, self.mask = column, mask
        self._column = torch.from_numpy(column)
        self._mask = torch.from_numpy(mask)

    @torch.inference_mode()  # type: ignore[untyped-decorator,unused-ignore]
    def step(self) -> None:
        """Turn `column` into `mask`, advancing the state."""
        if self.gpu:
            self.gpu.step(self._column, self._mask)
        else:
            self._mask.copy_(self._module.step(self._column, self._state))

    def reset(self) -> None:
        """Forget everything heard."""
        with torch.inference_mode():
            if self.gpu:
                self.gpu.reset()
            self._state.zero_()

    def warm_up(self) -> None:
        """Run until the program is compiled, on the thread that will run it; leaves a zero state."""
        for _ in range(WARM_UP_STEPS):
            self.step()
        if self.gpu and self._captures:
            with torch.inference_mode():
                self.gpu.capture()
        self.reset()

    def _replay(self, package: ModelPackage) -> None:
        golden = package.golden
        worst = 0.0
        try:
            self.warm_up()
            for column, expected in zip(golden.columns, golden.masks, strict=True):
                self.column[:] = column
                self.step()
                worst = float(np.maximum(worst, np.abs(self.mask - expected).max()))  # keeps NaN
            self.column[:] = 0
            self.reset()
        except (
            RuntimeError,
            TypeError,
            torch.jit.Error,
        ) as error:  # the last: what the program raises
            if self.gpu and isinstance(error, RuntimeError):
                raise _gpu_refuses(package.path, error) from None
            reason = telling_line(error)
            raise ModelError(f"{package.path}: its program fails ({reason}); export it again") from None
        if not worst <= GOLDEN_TOLERANCE:  # NaN too
            raise ModelError(
                f"{package.path}: its golden frames do not replay (off by {worst:.2g}, allowed "
                f"{GOLDEN_TOLERANCE:g}); the file or this torch ({torch.__version__}) is broken"
            )
        self.golden_error = worst


def _load(path: Path, device: torch.device) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated, and is what this contract is made of
            module = torch.jit.load(str(path), map_location=device)
    except RuntimeError as error:
        if device.type == "cuda" and speaks_of_gpu(error):
            raise _gpu_refuses(path, error) from None
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path}: torch cannot load it ({reason}); fetch or export it again") from None
    if not hasattr(module, "step"):
        raise ModelError(f"{path}: its program has no method 'step'; export it again")
    return module


def _on_gpu(path: Path, module: Any, shape: tuple[int, int], spec: ModelSpec) -> CudaStep:
    try:
        return CudaStep(module, shape, spec.state_size)
    except RuntimeError as error:
        raise _gpu_refuses(path, error) from None


def _gpu_refuses(path: Path, error: RuntimeError) -> ModelError:
    """The error of a model that loads and runs, but not on this GPU: a busy, small or unknown one."""
    return ModelError(f"{path}: does not run on the GPU here ({telling_line(error)}); use --device cpu")


def load_model(path: Path, device: str = "cpu") -> Stepper:
    """Read, verify, load and warm up the model file at `path`."""
    return Stepper(read_package(path), device)
