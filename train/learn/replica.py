"""Replicas: the processes that train one run together, each on its own device with its own mixtures.

`torchrun` starts them and sets WORLD_SIZE, RANK and LOCAL_RANK. A process without these variables trains
alone.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from rtsep.errors import UsageError

MAX_VALIDATION = timedelta(hours=2)
"""Time limit of a wait for the other replicas. It covers a validation, which only the first replica does."""


@dataclass(frozen=True)
class Replica:
    """Rank of this process among the replicas, their number, and its device."""

    rank: int
    replicas: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """True if this replica validates, writes the files and prints."""
        return self.rank == 0

    def parallel(self, net: nn.Module) -> nn.Module:
        """Return `net`, wrapped to average the gradients of all replicas if there are several."""
        return DistributedDataParallel(net) if self.replicas > 1 else net

    def agree(self, stop: bool, elapsed_s: float, cpu_s: float) -> tuple[bool, float, float]:
        """Return values that are equal in all replicas.

        They are: whether any replica has to stop, the elapsed seconds of the first one, and the sum of all
        CPU seconds. All replicas must call this after the same step.
        """
        if self.replicas == 1:
            return stop, elapsed_s, cpu_s
        sums = torch.tensor([float(stop), elapsed_s if self.is_first else 0.0, cpu_s], dtype=torch.float64)
        sums = sums.to(self.device)
        dist.all_reduce(sums)
        return bool(sums[0] > 0), float(sums[1]), float(sums[2])

    def wait_for_others(self) -> None:
        """Return when all replicas have called this."""
        if self.replicas > 1:
            dist.barrier()

    def machine(self, threads: int) -> str:
        """Return a text on the hardware of all replicas, each with `threads` CPU threads."""
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
            return f"{self.replicas} x {name}" if self.replicas > 1 else name
        cores = self.replicas * threads
        return f"{cores} {platform.machine()} core{'s' if cores > 1 else ''}"


@contextmanager
def joined_replica(device: str) -> Iterator[Replica]:
    """Join the replicas that torchrun started and yield this one; leave them at the end.

    `device` is "auto", "cpu" or "cuda". Raises `UsageError` if there is no GPU, or fewer than replicas.
    """
    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise UsageError("--device cuda: torch finds no CUDA device here; use --device cpu")
    on_gpu = device != "cpu" and gpu
    replicas = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    place = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if on_gpu:
        if local >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise UsageError(f"torch finds {count} GPUs here; start torchrun with --nproc-per-node {count}")
        torch.cuda.set_device(place)
        torch.set_float32_matmul_precision("high")
    if replicas > 1:
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=MAX_VALIDATION)
    try:
        yield Replica(int(os.environ.get("RANK", "0")), replicas, place)
    finally:
        if replicas > 1:
            dist.destroy_process_group()
