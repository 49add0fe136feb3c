"""One step of a model on a GPU, from host memory to host memory, as a captured CUDA graph.

A step is some hundred small kernels. Launched one by one, most of the time goes into the launching; captured
once and replayed, they run back to back, the copies to and from pinned memory among them (A. Gray, "Getting
started with CUDA graphs", NVIDIA, 2019).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class CudaStep:
    """A program with its state on a GPU; of one thread.

    A program that cannot be captured, because it looks at its own results, say, is launched step by step.
    """

    def __init__(self, module: Any, shape: tuple[int, int], state_size: int) -> None:
        """Take `module`, on a GPU already; `shape` is of a mask [channels, bins]. Steps are launched."""
        self._module = module
        self._host_column = torch.zeros((*shape, 2), pin_memory=True)
        self._host_mask = torch.zeros(shape, pin_memory=True)
        self._column = torch.zeros((*shape, 2), device="cuda")
        self._state = torch.zeros(state_size, device="cuda")
        self._stream = torch.cuda.Stream()
        self._began, self._ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._graph: torch.cuda.CUDAGraph | None = None
        torch.cuda.synchronize()  # what was made above, on another stream

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
            with torch.cuda.graph(graph, stream=self._stream):
                self._launch()
        except RuntimeError:  # it cannot be captured: launched as before
            torch.cuda.synchronize()
            return
        self._graph = graph

    @property
    def device_us(self) -> float:
        """How long the last step took on the GPU, its copies included."""
        return 1000.0 * self._began.elapsed_time(self._ended)

    def step(self, column: Tensor, mask: Tensor) -> None:
        """Turn `column` into `mask`, both in ordinary host memory, advancing the state."""
        self._host_column.copy_(column)
        with torch.cuda.stream(self._stream):
            self._began.record()
            if self._graph is not None:
                self._graph.replay()
            else:
                self._launch()
            self._ended.record()
        self._ended.synchronize()
        mask.copy_(self._host_mask)

    def reset(self) -> None:
        """Forget everything heard."""
        with torch.cuda.stream(self._stream):
            self._state.zero_()
        self._stream.synchronize()

    def _launch(self) -> None:
        self._column.copy_(self._host_column, non_blocking=True)
        self._host_mask.copy_(self._module.step(self._column, self._state), non_blocking=True)
