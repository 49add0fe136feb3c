"""TorchScript on a GPU (experimental): one step from host memory to host memory, as a captured CUDA graph.

A step consists of about a hundred small kernels. Launched one by one, most of the time is spent on launching;
captured once and replayed, they run back to back, including the copies to and from pinned memory (A. Gray,
"Getting started with CUDA graphs", NVIDIA, 2019).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rtsep.errors import ModelError
from rtsep.model.contract import ModelSpec
from rtsep.model.package import ModelPackage
from rtsep.model.runner import ModelRunner
from rtsep.model.torchscript import (
    TorchScript,
    TorchScriptRunner,
    as_mask,
    cause_line,
    load_checked,
    mentions_gpu,
    unloadable,
)

WITHOUT_WORKSPACE = {"CUBLAS_WORKSPACE_CONFIG": ":0:0", "CUBLASLT_WORKSPACE_SIZE": "0"}
"""Variables read at a process's first matrix product. With a workspace, cuBLAS splits the small products of a
step into parts and adds those up in another kernel: twenty kernels more, a fifth of the time."""


def gpu_here() -> tuple[str | None, str | None]:
    """Return the name of the GPU and the CUDA version of torch; None for a missing one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None, torch.version.cuda


class CudaStep:
    """Program with its state on a GPU, for one thread.

    A program that cannot be captured, for example because it reads its own results, is launched step by step.
    """

    not_captured: str
    """Reason why the last `capture` failed; "" if it succeeded."""

    clocked: bool
    """Flag for reading the GPU's own clock at each step, which takes two more calls."""

    def __init__(self, program: Any, shape: tuple[int, int], state_size: int) -> None:
        """Use `program` (see `TorchScriptRunner`), already on the GPU; launch it for each step.

        `shape` is a mask's [channels, bins].
        """
        for variable, none in WITHOUT_WORKSPACE.items():
            os.environ.setdefault(variable, none)
        self._program = program
        self._host_column = torch.zeros((*shape, 2), pin_memory=True)
        self._host_mask = torch.zeros(shape, pin_memory=True)
        self._column = torch.zeros((*shape, 2), device="cuda")
        self._state = torch.zeros(state_size, device="cuda")
        self._line = torch.cuda.current_stream()
        self._began, self._ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._graph: torch.cuda.CUDAGraph | None = None
        self.not_captured, self.clocked = "", False

    @property
    def captured(self) -> bool:
        """Return whether steps are replayed from a graph."""
        return self._graph is not None

    def capture(self) -> None:
        """Replay steps from now on; call this after some launched steps, which compile the program."""
        if self._graph is not None:
            return
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._launch()
        except RuntimeError as error:  # capture is impossible: steps are launched as before
            self.not_captured = cause_line(error)
            torch.cuda.synchronize()
            return
        self._graph, self.not_captured = graph, ""

    @property
    def device_us(self) -> float:
        """Return the duration of the last clocked step on the GPU in us, including copies.

        For a launched step, this includes the gaps in which the GPU waits for the next launch.
        """
        return 1000.0 * self._began.elapsed_time(self._ended)

    def step(self, column: Tensor, mask: Tensor) -> None:
        """Compute `mask` from `column`, both in ordinary host memory, and advance the state.

        This code is short on purpose: after a sleep since the last hop, each call takes a processor about ten
        microseconds instead of one.
        """
        self._host_column.copy_(column)
        if self.clocked:
            self._began.record(self._line)
        if self._graph is not None:
            self._graph.replay()
        else:
            self._launch()
        if self.clocked:
            self._ended.record(self._line)
        self._line.synchronize()
        mask.copy_(self._host_mask)

    def reset(self) -> None:
        """Reset the state."""
        self._state.zero_()
        self._line.synchronize()

    def _launch(self) -> None:
        self._column.copy_(self._host_column, non_blocking=True)
        answer = self._program(self._column, self._state)
        self._host_mask.copy_(as_mask(answer, self._host_mask.shape), non_blocking=True)


class CudaRunner(TorchScriptRunner):
    """Program with its state on a GPU; columns and masks stay in ordinary memory."""

    def __init__(self, spec: ModelSpec, program: Any, graph: bool) -> None:
        """Use `program`, already on the GPU; `graph=False` launches its kernels one by one."""
        super().__init__(spec, program)
        self._step = CudaStep(program, (spec.channels, spec.bins), spec.state_size)
        self._captures = graph
        self.gpu = self._step

    @torch.inference_mode()  # type: ignore[untyped-decorator,unused-ignore]
    def step(self) -> None:
        """Run `ModelRunner.step`; raise `RuntimeError`."""
        self._step.step(self._column, self._mask)

    @torch.inference_mode()  # type: ignore[untyped-decorator,unused-ignore]
    def reset(self) -> None:
        """Run `ModelRunner.reset`."""
        self._step.reset()

    def warm_up(self) -> None:
        """Run `ModelRunner.warm_up`, then capture the graph."""
        super().warm_up()
        if self._captures:
            with torch.inference_mode():
                self._step.capture()
            self.reset()


class TorchScriptOnCuda(TorchScript):
    """Loads TorchScript to a GPU."""

    def load(self, package: ModelPackage, *, graph: bool = True) -> ModelRunner:
        """Load the package to the GPU, see `Form.load`."""
        if not torch.cuda.is_available():
            raise ModelError("--compute cuda: torch finds no CUDA device here; use --compute cpu")
        try:
            program = load_checked(package, "cuda")
        except RuntimeError as error:
            if mentions_gpu(error):
                raise _gpu_refuses(package.path, error) from None
            raise unloadable(package.path, error) from None
        try:
            return CudaRunner(package.spec, program, graph)
        except RuntimeError as error:
            raise _gpu_refuses(package.path, error) from None

    def refusal(self, package: ModelPackage, error: Exception) -> ModelError | None:
        """Return the error as one line, see `Form.refusal`."""
        if isinstance(error, RuntimeError):
            return _gpu_refuses(package.path, error)
        return super().refusal(package, error)


def _gpu_refuses(path: Path, error: RuntimeError) -> ModelError:
    """Return the error of a model that loads and runs, but not on this GPU: a busy, small or unknown one."""
    return ModelError(f"{path}: does not run on the GPU here ({cause_line(error)}); use --compute cpu")


FORM = TorchScriptOnCuda()
