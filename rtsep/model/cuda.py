"""One step of a model on a GPU, from host memory to host memory, as a captured CUDA graph.

A step is some hundred small kernels. Launched one by one, most of the time goes into the launching; captured
once and replayed, they run back to back, the copies to and from pinned memory among them (A. Gray, "Getting
started with CUDA graphs", NVIDIA, 2019).
"""

from __future__ import annotations

import os
import re
from typing import Any

import torch
from torch import Tensor

_OF_THE_GPU = re.compile(r"\b(CUDA|CUBLAS|cuDNN|cuFFT|nvrtc)\b.*(error|out of memory|failed)", re.IGNORECASE)

WITHOUT_WORKSPACE = {"CUBLAS_WORKSPACE_CONFIG": ":0:0", "CUBLASLT_WORKSPACE_SIZE": "0"}
"""Read at a process's first matrix product. Given memory to work in, cuBLAS splits the small products of a
step into parts and adds those up in a kernel of its own: twenty kernels more, a fifth of the time."""


def gpu_here() -> tuple[str | None, str | None]:
    """Name of the GPU, and the version of CUDA that torch brings; None for what is not there."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None, torch.version.cuda


def telling_line(error: Exception) -> str:
    """Return the line of torch's message that says what went wrong.

    Of a GPU it is the first that speaks of it: advice on debugging follows. Else it is the last one, which a
    program's own error stands in, after the lines of the program.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    of_gpu = next(filter(_OF_THE_GPU.search, lines), None)
    if of_gpu is None:
        return lines[-1]
    return ". ".join(of_gpu.removeprefix("RuntimeError: ").split(". ")[:2]).rstrip(".")  # advice again


def speaks_of_gpu(error: Exception) -> bool:
    """Whether torch's message lays the fault on the GPU, its driver or its libraries."""
    return _OF_THE_GPU.search(str(error)) is not None


class CudaStep:
    """A program with its state on a GPU; of one thread.

    A program that cannot be captured, because it looks at its own results, say, is launched step by step.
    """

    not_captured: str
    """Why the last `capture` has failed; "" where it has not."""

    clocked: bool
    """Whether steps read the GPU's own clock: two more calls each, so only for whoever wants to know."""

    def __init__(self, module: Any, shape: tuple[int, int], state_size: int) -> None:
        """Take `module`, on a GPU already; `shape` is of a mask [channels, bins]. Steps are launched."""
        for variable, none in WITHOUT_WORKSPACE.items():
            os.environ.setdefault(variable, none)
        self._module = module
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
        """Whether steps are replayed from a graph."""
        return self._graph is not None

    def capture(self) -> None:
        """Replay steps from now on; after some that were launched, which compile the program."""
        if self._graph is not None:
            return
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._launch()
        except RuntimeError as error:  # it cannot be captured: launched as before
            self.not_captured = telling_line(error)
            torch.cuda.synchronize()
            return
        self._graph, self.not_captured = graph, ""

    @property
    def device_us(self) -> float:
        """How long the last clocked step took on the GPU, its copies included.

        Of a launched one, the gaps in which the GPU waits for the next launch too.
        """
        return 1000.0 * self._began.elapsed_time(self._ended)

    def step(self, column: Tensor, mask: Tensor) -> None:
        """Turn `column` into `mask`, both in ordinary host memory, advancing the state.

        Little stands here on purpose: a processor that has slept since the last hop takes some ten
        microseconds for each call that costs one when it is called again and again.
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
        """Forget everything heard."""
        self._state.zero_()
        self._line.synchronize()

    def _launch(self) -> None:
        self._column.copy_(self._host_column, non_blocking=True)
        self._host_mask.copy_(self._module.step(self._column, self._state), non_blocking=True)
