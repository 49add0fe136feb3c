"""A model in its own, confined process, stepped by the caller.

    runner = load(read_package(path))      # or load_model(path)
    runner.column[:] = ...; runner.step(); runner.mask

For files, arrays, checks and training. A live session uses `rtsep.model.supervisor`, which never waits.
"""

from __future__ import annotations

import os
import subprocess
import time
import weakref
from pathlib import Path

import numpy as np

from rtsep.errors import ModelError, ModelProcessError
from rtsep.model import launch
from rtsep.model.beginning import await_ready, end_reason
from rtsep.model.messages import Ready, Serve
from rtsep.model.package import ModelPackage, read_package
from rtsep.model.runner import ModelRunner
from rtsep.realtime import mask_exchange
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.mask_exchange import MaskExchange
from rtsep.realtime.wire import encode

START_PATIENCE_S = 60.0  # a cold disk and busy cores
STEP_PATIENCE_S = 20.0
"""Time limit of one hop in seconds. Waits count in short pieces, so a suspended machine counts little."""

_LOOK_NS = 50_000_000  # interval of checks whether the process still runs


def load_model(path: Path, compute: str = "cpu") -> ModelRunner:
    """Read, verify, load and prove the model file at `path`. Raise the errors of `load`."""
    return load(read_package(path), compute)


def load(
    package: ModelPackage, compute: str = "cpu", *, graph: bool = True, real_time: bool = False
) -> ModelRunner:
    """Load a model to `compute` ("cpu", "cuda") in its own process, which ends with the runner.

    `graph` is as for `Form.load`; `real_time` requests the priority of a live session. Raise `ModelError` if
    the model is refused, `ModelProcessError` if its process does not start.
    """
    return RemoteRunner(package, compute, graph=graph, real_time=real_time)


class RemoteRunner(ModelRunner):
    """Loaded model in another process, for one thread at a time."""

    def __init__(self, package: ModelPackage, compute: str, *, graph: bool, real_time: bool) -> None:
        self.spec = package.spec
        self._path = package.path
        shape = (self.spec.channels, self.spec.bins)
        self.column, self.mask = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
        self._scratch = np.zeros(2, np.int64)
        self._number = 0
        shared = MaskExchange.create(*shape)
        self._exchange = shared.exchange
        task = encode(
            Serve(
                exchange_path=str(shared.path),
                model=str(package.path.absolute()), sha256=package.sha256, compute=compute,
                parent=os.getpid(), graph=graph, real_time=real_time,
            )
        )  # fmt: skip
        command = [*launch.COMMAND, task.rstrip()]
        try:
            self._process = launch.take(task) or launch.launch(command)
        except BaseException:
            shared.close()
            raise
        self.close = weakref.finalize(self, _end, self._process, shared, os.getpid())
        """End the process. It also ends with this runner, and with the program."""
        try:
            answer = await_ready(self._process, command, START_PATIENCE_S)
            until = time.monotonic() + START_PATIENCE_S
            while acquire(self._exchange.header, mask_exchange.MODEL_STATE) != mask_exchange.READY:
                self._look()
                if time.monotonic() > until:
                    raise ModelProcessError(f"{self._path}: its process does not begin; try again")
                time.sleep(0.0005)
        except BaseException:
            self.close()
            raise
        self.golden_error = answer.golden_error
        self.gpu = _RemoteGpu(self._exchange, answer) if answer.gpu else None

    @property
    def pid(self) -> int:
        """Return the process id of the model."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Return whether the process still runs; `step` raises `ModelProcessError` if not."""
        return self.close.alive and self._process.poll() is None

    def step(self) -> None:
        """Run `ModelRunner.step`; raise `ModelError` if the program fails, `ModelProcessError` if it dies."""
        exchange, number = self._exchange, self._number
        self._number += 1
        exchange.columns[number % mask_exchange.CAPACITY] = self.column
        mask_exchange.publish_column(exchange, number)
        waited_ns, began = 0, time.monotonic_ns()
        while not mask_exchange.await_mask(exchange, number, _LOOK_NS, self._scratch):
            self._look()
            now = time.monotonic_ns()
            waited_ns += min(now - began, 2 * _LOOK_NS)
            began = now
            if waited_ns > STEP_PATIENCE_S * 1e9:
                self.close()
                raise ModelError(
                    f"{self._path}: one hop takes more than {STEP_PATIENCE_S:.0f} s; do not trust the file, "
                    "or export a smaller model"
                )
        self.mask[...] = exchange.masks[number % mask_exchange.CAPACITY]

    def reset(self) -> None:
        """Request `ModelRunner.reset`; it is done before the next step."""
        release(self._exchange.header, mask_exchange.RESET, 1)

    def _look(self) -> None:
        """Raise the error of a process that has ended."""
        if not self.close.alive:
            raise ModelProcessError(f"{self._path}: its process has ended; load the model again")
        code = self._process.poll()
        if code is None:
            return
        why = end_reason(self._process)
        self.close()
        if code == ModelError.exit_code:
            raise ModelError(why)
        raise ModelProcessError(f"{self._path}: its process {why}; load the model again")


class _RemoteGpu:
    """Clock of a GPU, as read by the other process."""

    def __init__(self, exchange: mask_exchange.Exchange, answer: Ready) -> None:
        self._header = exchange.header
        self.captured, self.not_captured = answer.captured, answer.not_captured

    @property
    def clocked(self) -> bool:
        return bool(acquire(self._header, mask_exchange.CLOCKED))

    @clocked.setter
    def clocked(self, clocked: bool) -> None:
        release(self._header, mask_exchange.CLOCKED, int(clocked))

    @property
    def device_us(self) -> float:
        return acquire(self._header, mask_exchange.DEVICE_NS) / 1000.0


def _end(process: subprocess.Popen[bytes], shared: MaskExchange, owner: int) -> None:
    if os.getpid() != owner:  # in a fork, the model belongs to its parent
        return
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()
    shared.close()
