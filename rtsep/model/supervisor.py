"""Starts the model process, watches it, and restarts it after a crash or hang, while audio continues."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

from rtsep.errors import ModelProcessError
from rtsep.model import launch
from rtsep.model.beginning import await_ready, end_reason
from rtsep.model.messages import Ready, Serve
from rtsep.realtime import mask_exchange, priority, threads
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.mask_exchange import MaskExchange
from rtsep.realtime.stops import Stops
from rtsep.realtime.wire import encode

START_PATIENCE_S = 60.0  # a cold disk and a first compilation
HANG_PATIENCE_S = 1.5  # time with waiting columns and no mask
QUICK_DEATH_S = 10.0  # a process that ends this soon after its start counts as a failure
RETRY_STEP_S, MAX_RETRY_S = 0.25, 5.0  # the delay of a restart grows by this, up to the maximum

_LOOK_EVERY_S = 0.02
# time without a column that means: no playback. Longer than any hop (768 at 8192 Hz takes 0.094 s)
_IDLE_AFTER_S = 0.5


class ModelSupervisor:
    """Keeps one model process running for `shared`."""

    def __init__(self, shared: MaskExchange, model: Path, compute: str, sha256: str | None = None) -> None:
        """Prepare only. `model` is a model file, `compute` "cpu" or "cuda".

        `sha256` is the checksum of the verified file (`ModelPackage.sha256`): no process plays other bytes,
        even after a restart. None leaves the verification to the process.
        """
        self._shared = shared
        self._task = encode(
            Serve(
                exchange_path=str(shared.path),
                model=str(model.absolute()),  # the program may go to another folder before a restart
                sha256=sha256, compute=compute, parent=os.getpid(),
                graph=True, real_time=True,
            )
        )  # fmt: skip
        self._command = [*launch.COMMAND, self._task.rstrip()]
        self._header = shared.exchange.header
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._leaving = threading.Event()
        self._columns_seen, self._column_came, self._steps_seen = -1, 0.0, -1
        self._spawned = self._progressed = 0.0  # monotonic times
        self.restarts = 0
        self.last_error = ""  # of an ended process
        self._real_time = False  # initial priority of the running process
        self.moments: dict[str, float] = {}  # times of the first process's start, by stage
        # Both are compiled here for the first start. Compiled later on another thread, they would delay
        # `stop` by half a minute.
        release(self._header, mask_exchange.MODEL_STATE, mask_exchange.STARTING)
        acquire(self._header, mask_exchange.MODEL_STATE)

    def start(self) -> None:
        """Start the process and wait until it can answer.

        Raise `ModelError` if it refuses the model, `ModelProcessError` if it ends first or sends no answer,
        `NoThreadError` if nothing can watch it.
        """
        self._spawn()
        if self._leaving.is_set() and self._process:  # `stop` on another thread found no process to end
            self._process.kill()
        self.moments = self._await_ready().moments
        watcher = threading.Thread(target=self._watch, name="model-supervisor", daemon=True)
        threads.start(watcher)
        self._watcher = watcher

    @property
    def pid(self) -> int:
        """Return the process id of the current model."""
        return self._process.pid if self._process else 0

    @property
    def lost_priority(self) -> bool:
        """Return whether the process has lost its real-time priority."""
        return self._real_time and self.ready and not priority.is_real_time(self.pid)

    @property
    def ready(self) -> bool:
        """Return whether it answers columns now."""
        return acquire(self._header, mask_exchange.MODEL_STATE) == mask_exchange.READY

    def stop(self) -> None:
        """Request the end of the process; kill it if it does not end, or cannot be asked yet."""
        self._leaving.set()
        if self._watcher:
            self._watcher.join()
        release(self._header, mask_exchange.STOP, 1)
        if self._process:
            if not self.ready:
                self._process.kill()
            try:
                self._process.wait(2.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._watcher and self._process.stdout:  # else `start` may still read from it
                self._process.stdout.close()

    def _spawn(self) -> None:
        release(self._header, mask_exchange.MODEL_STATE, mask_exchange.STARTING)
        self._spawned = time.monotonic()
        self._process = launch.take(self._task) or launch.launch(self._command)

    def _await_ready(self) -> Ready:
        assert self._process
        answer = await_ready(self._process, self._command, START_PATIENCE_S)
        self._real_time = answer.real_time
        return answer

    def _watch(self) -> None:
        failures = 0  # consecutive, each soon after its start
        self._progressed = time.monotonic()
        stops = Stops()
        while not self._leaving.wait(_LOOK_EVERY_S):
            assert self._process
            now = time.monotonic()
            if stood := stops.look():  # the process may have stood still for the same time
                self._spawned, self._progressed = self._spawned + stood, self._progressed + stood
            if patience := self._patience_gone(now):
                self._process.kill()
                self._process.wait()
            if self._process.poll() is None:
                continue
            release(self._header, mask_exchange.MODEL_STATE, mask_exchange.DOWN)
            words = end_reason(self._process)
            self.last_error = f"gave no answer for {patience:g} s" if patience else words
            failures = failures + 1 if now - self._spawned < QUICK_DEATH_S else 0
            self.restarts += 1
            while not self._spawned_after(failures):
                if self._leaving.is_set():
                    return
                failures += 1

    def _spawned_after(self, failures: int) -> bool:
        """Wait (longer after more consecutive failures) and start the process; return whether that worked."""
        # the first restart is immediate
        if self._leaving.wait(min(max(0, failures - 1) * RETRY_STEP_S, MAX_RETRY_S)):
            return False
        try:
            self._spawn()
        # no handles, no memory or no Python: this may be temporary
        except (OSError, ModelProcessError) as error:
            release(self._header, mask_exchange.MODEL_STATE, mask_exchange.DOWN)
            self.last_error = f"cannot be started ({getattr(error, 'strerror', None) or error})"
            return False
        return True

    def _patience_gone(self, now: float) -> float | None:
        """Return the time limit if it has passed, of the start or of an answer; else None."""
        if not self.ready:
            self._progressed = now
            return START_PATIENCE_S if now - self._spawned > START_PATIENCE_S else None
        columns, steps = (
            acquire(self._header, mask_exchange.COLUMNS),
            acquire(self._header, mask_exchange.MODEL_STEPS),
        )
        if columns != self._columns_seen:
            self._columns_seen, self._column_came = columns, now
        played = columns > 0 and now - self._column_came < _IDLE_AFTER_S
        if steps != self._steps_seen or not played:
            self._steps_seen, self._progressed = steps, now
        return HANG_PATIENCE_S if now - self._progressed > HANG_PATIENCE_S else None
