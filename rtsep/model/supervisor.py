"""Starts the model process, watches it, and starts it again when it dies or hangs, while audio flows on."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

from rtsep.errors import ModelProcessError
from rtsep.model import launch
from rtsep.model.beginning import await_ready, last_words
from rtsep.model.messages import Ready, Serve
from rtsep.realtime import priority, slots
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.slots import SharedSlots
from rtsep.realtime.stops import Stops
from rtsep.realtime.wire import encode

START_PATIENCE_S = 60.0  # a cold disk and a first compilation
HANG_PATIENCE_S = 1.5  # columns wait and no mask comes
QUICK_DEATH_S = 10.0  # who dies so soon after its start, and again after the next, is tried
RETRY_STEP_S, RETRY_MOST_S = 0.25, 5.0  # later each time by this much, and never later than that

_LOOK_EVERY_S = 0.02
_IDLE_AFTER_S = 0.5  # no column for so long: nobody plays. Longer than any hop (768 at 8192 Hz takes 0.094 s)


class ModelSupervisor:
    """Keeps one model process alive for `shared`."""

    def __init__(self, shared: SharedSlots, model: Path, compute: str, sha256: str | None = None) -> None:
        """Start nothing yet. `model` is a model file, `compute` "cpu" or "cuda".

        `sha256` is that of the file as it was verified (`ModelPackage.sha256`): no process plays other bytes,
        after a restart either. None leaves the verification to the process.
        """
        self._shared = shared
        self._task = encode(
            Serve(
                slots=str(shared.path), model=str(model), sha256=sha256, compute=compute, parent=os.getpid(),
                graph=True, real_time=True,
            )
        )  # fmt: skip
        self._command = [*launch.COMMAND, self._task.rstrip()]
        self._header = shared.exchange.header
        self._process: subprocess.Popen[str] | None = None
        self._watcher: threading.Thread | None = None
        self._leaving = threading.Event()
        self._columns_seen, self._column_came, self._steps_seen = -1, 0.0, -1
        self._spawned = self._progressed = 0.0  # when
        self.restarts = 0
        self.last_error = ""  # of a process that has ended
        self._real_time = False  # the first priority of the process that runs
        self.moments: dict[str, float] = {}  # at which the first process reached the stages of its start
        # On a first start both are compiled here. Later on another thread compiles for half a minute, which
        # `stop` would have to wait for.
        release(self._header, slots.MODEL_STATE, slots.STARTING)
        acquire(self._header, slots.MODEL_STATE)

    def start(self) -> None:
        """Start the process and wait until it can answer.

        Raises `ModelError` if it refuses the model, `ModelProcessError` if it ends first or sends no answer.
        """
        self._spawn()
        if self._leaving.is_set() and self._process:  # `stop`, on another thread, found no process to end
            self._process.kill()
        self.moments = self._await_ready().moments
        self._watcher = threading.Thread(target=self._watch, name="model-supervisor", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        """Process id of the model as it runs now."""
        return self._process.pid if self._process else 0

    @property
    def lost_priority(self) -> bool:
        """Whether the process had real-time priority and has it no more."""
        return self._real_time and self.ready and not priority.is_real_time(self.pid)

    @property
    def ready(self) -> bool:
        """Whether it answers columns now."""
        return acquire(self._header, slots.MODEL_STATE) == slots.READY

    def stop(self) -> None:
        """Ask the process to leave; make it, if it does not, or cannot be asked yet."""
        self._leaving.set()
        if self._watcher:
            self._watcher.join()
        release(self._header, slots.STOP, 1)
        if self._process:
            if not self.ready:
                self._process.kill()
            try:
                self._process.wait(2.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._watcher and self._process.stdout:  # else `start` may still read there
                self._process.stdout.close()

    def _spawn(self) -> None:
        release(self._header, slots.MODEL_STATE, slots.STARTING)
        self._spawned = time.monotonic()
        self._process = launch.take(self._task) or launch.launch(self._command)

    def _await_ready(self) -> Ready:
        assert self._process
        answer = await_ready(self._process, self._command, START_PATIENCE_S)
        self._real_time = answer.real_time
        return answer

    def _watch(self) -> None:
        failures = 0  # in a row, each soon after its start
        self._progressed = time.monotonic()
        stops = Stops()
        while not self._leaving.wait(_LOOK_EVERY_S):
            assert self._process
            now = time.monotonic()
            if stood := stops.look():  # the process may have stood as long
                self._spawned, self._progressed = self._spawned + stood, self._progressed + stood
            if patience := self._patience_gone(now):
                self._process.kill()
                self._process.wait()
            if self._process.poll() is None:
                continue
            release(self._header, slots.MODEL_STATE, slots.DOWN)
            words = last_words(self._process)
            self.last_error = f"gave no answer for {patience:g} s" if patience else words
            failures = failures + 1 if now - self._spawned < QUICK_DEATH_S else 0
            self.restarts += 1
            while not self._spawned_after(failures):
                if self._leaving.is_set():
                    return
                failures += 1

    def _spawned_after(self, failures: int) -> bool:
        """Wait, longer after more failures running, and start the process; return whether it has started."""
        if self._leaving.wait(min(max(0, failures - 1) * RETRY_STEP_S, RETRY_MOST_S)):  # the first is at once
            return False
        try:
            self._spawn()
        except (OSError, ModelProcessError) as error:  # no handles, no memory, no Python: it may come back
            release(self._header, slots.MODEL_STATE, slots.DOWN)
            self.last_error = f"cannot be started ({getattr(error, 'strerror', None) or error})"
            return False
        return True

    def _patience_gone(self, now: float) -> float | None:
        """Return the time that the process had, if it is over: to become ready, or to answer columns."""
        if not self.ready:
            self._progressed = now
            return START_PATIENCE_S if now - self._spawned > START_PATIENCE_S else None
        columns, steps = acquire(self._header, slots.COLUMNS), acquire(self._header, slots.MODEL_STEPS)
        if columns != self._columns_seen:
            self._columns_seen, self._column_came = columns, now
        played = columns > 0 and now - self._column_came < _IDLE_AFTER_S
        if steps != self._steps_seen or not played:
            self._steps_seen, self._progressed = steps, now
        return HANG_PATIENCE_S if now - self._progressed > HANG_PATIENCE_S else None
