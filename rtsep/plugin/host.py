"""The engine process of a plugin: hop loop and model behind the memory that the plugin shares with it.

The plugin starts it and holds the other end of standard input: when that closes, for any reason, this process
and its model end too. Lines for the log of the plugin's host go to standard output, each with "note" or
"error" at its beginning.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

import numpy as np
from numpy.typing import NDArray

from rtsep.controls import TABLE
from rtsep.errors import ModelError, RtsepError, UsageError, in_a_line
from rtsep.model.catalog import find_model, model_files
from rtsep.model.package import ModelPackage, read_package
from rtsep.model.supervisor import ModelSupervisor
from rtsep.pipeline import stream_delay
from rtsep.plugin import layout
from rtsep.plugin.hops import BEHIND, ENDED, compile_loop, fresh, latency_of, run_stream, settle
from rtsep.plugin.layout import Memory, map_memory
from rtsep.realtime import mask_exchange, priority, threads, wake
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.child_process import end_with_parent
from rtsep.realtime.mask_exchange import MaskExchange

PRIORITY = 65
_MAX_CALL = 8192
_LOOK_S = 0.5
_LEAVE_S = 2.5
"""Time for ending, in seconds. The plugin waits a little longer before it kills this process."""

_SETTLE_NS, _SETTLE_RENDER_NS = 50_000_000, 20_000_000_000


def run(name: str, model: str, sha256: str) -> int:
    """Serve the plugin behind the memory `name` (of `map_memory`) until it ends; return the exit code."""
    try:
        memory = map_memory(name)
    except (OSError, ValueError) as error:
        raise UsageError(f"--memory {name}: {error}; the plugin starts this command, not a user") from None
    end_with_parent()
    release(memory.slots, layout.SLOT_ENGINE_PROTOCOL, layout.PROTOCOL)
    try:
        _check_version(memory)
        _Engine(memory, _find(model, sha256)).run()
    except RtsepError as error:
        notify("error", f"{error}; the dry signal plays")
        if isinstance(error, ModelError | UsageError):  # another start would end in the same way
            release(memory.slots, layout.SLOT_STATE, layout.STATE_REFUSED)
        return error.exit_code
    return 0


def notify(kind: str, text: str) -> None:
    """Send one line to the host's log; `kind` is "note" or "error"."""
    with contextlib.suppress(OSError):
        os.write(1, f"{kind} {' '.join(text.split())}\n".encode(errors="replace"))


def _check_version(memory: Memory) -> None:
    theirs, controls = int(memory.slots[layout.SLOT_PROTOCOL]), int(memory.slots[layout.SLOT_CONTROLS])
    if theirs != layout.PROTOCOL or controls != len(TABLE):
        raise UsageError(
            f"the plugin (protocol {theirs}, {controls} controls) and its engine "
            f"(protocol {layout.PROTOCOL}, {len(TABLE)} controls) are of different versions; "
            "run 'rtsep plugin install'"
        )


def _find(name: str, sha256: str) -> ModelPackage:
    """Return the model `name`. One of the same content under another name goes before one of other content.

    Raises `ModelError`.
    """
    try:
        package = read_package(find_model(name))
    except ModelError as error:
        package, missing = None, error
    if package and sha256 in ("", package.sha256):
        return package
    for other, path in model_files():
        with contextlib.suppress(ModelError):
            found = read_package(path)
            if found.sha256 == sha256:
                if other != name:
                    notify("note", f"the project's model '{name}' is called '{other}' here")
                return found
    if package is None:
        raise ModelError(f"the project's model is missing: {missing}")
    notify(
        "note",
        f"model '{name}' is not the version that the project was saved with (SHA-256 {sha256[:12]}...); "
        "it plays all the same",
    )
    return package


class _Engine:
    """The model, and the loop that plays it."""

    def __init__(self, memory: Memory, package: ModelPackage) -> None:
        self._memory, self._package = memory, package
        self._rate = int(memory.slots[layout.SLOT_RATE])
        self._running: NDArray[np.int64] = np.ones(1, np.int64)
        self._failure: Exception | None = None
        self._lay_out()

    def _lay_out(self) -> None:
        """Report the latency of the model to the plugin, or compare it with the one reported earlier."""
        state = self._memory.slots
        max_hop, delay = latency_of(self._package.spec, self._rate)
        reported = int(acquire(state, layout.SLOT_MAX_HOP)), int(acquire(state, layout.SLOT_DELAY))
        if reported[0] and reported != (max_hop, delay):
            raise UsageError(
                f"model '{self._package.spec.name}' has another latency than the installed plugin expects; "
                "run 'rtsep plugin install'"
            )
        release(state, layout.SLOT_DELAY, delay)
        release(state, layout.SLOT_MAX_HOP, max_hop)

    def run(self) -> None:
        """Start the model, play until standard input ends, end the model."""
        spec = self._package.spec
        shared = MaskExchange.create(spec.channels, spec.bins)
        supervisor = ModelSupervisor(shared, self._package.path, "cpu", self._package.sha256)
        ended = threading.Event()
        reader = threading.Thread(target=_read_to_the_end, args=(ended,), name="host-end", daemon=True)
        watcher = threading.Thread(
            target=self._watch_input, args=(supervisor, ended), name="host-watch", daemon=True
        )
        loop = threading.Thread(target=self._play, args=(shared,), name="hop-loop", daemon=True)
        try:
            threads.start(reader)
            threads.start(watcher)
            compile_loop(spec, self._rate, shared.exchange)
            supervisor.start()
            if self._running[0]:
                threads.start(loop)
                release(self._memory.slots, layout.SLOT_STATE, layout.STATE_READY)
                loop.join()
        finally:
            release(self._memory.slots, layout.SLOT_STATE, layout.STATE_DOWN)
            supervisor.stop()
            shared.close()
        if self._failure:
            raise self._failure

    def _watch_input(self, supervisor: ModelSupervisor, ended: threading.Event) -> None:
        """Wait for the end of the plugin; meanwhile report changes of the model process."""
        restarts = 0
        while not ended.wait(_LOOK_S):
            if supervisor.restarts != restarts:
                restarts = supervisor.restarts
                notify("error", f"the model process {supervisor.last_error}; it is started again")
        release(self._running, 0, 0)
        wake.post(self._memory.signals[0])
        time.sleep(_LEAVE_S)
        os._exit(1)

    def _play(self, shared: MaskExchange) -> None:
        priority.raise_thread_priority(PRIORITY)
        try:
            why, begun = -1, -1
            while why != ENDED:
                why, begun = self._play_stream(shared, why, begun)
        except Exception as error:
            notify("error", f"the engine fails: {in_a_line(error)}")
            self._failure = error

    def _play_stream(self, shared: MaskExchange, why: int, begun: int) -> tuple[int, int]:
        """Play one stream; return the reason for its end, and its number."""
        memory = self._memory
        state = memory.slots
        pipeline, work = fresh(self._package.spec, self._rate)
        rendering = acquire(state, layout.SLOT_OFFLINE) != 0
        if settle(shared.exchange, work, _SETTLE_RENDER_NS if rendering else _SETTLE_NS, self._running):
            release(shared.exchange.header, mask_exchange.RESET, 1)
        stream = int(acquire(state, layout.SLOT_STREAMS))
        declared = int(acquire(state, layout.SLOT_STREAM_START))
        written = int(acquire(state, layout.SLOT_IN_WRITE))
        room = len(memory.input) - 2 * _MAX_CALL if rendering else int(acquire(state, layout.SLOT_LAG))
        if stream != begun and why != BEHIND and written - declared <= room:
            start = first = declared
        else:  # in the middle of the sound: the delay of the pipeline holds nothing of it yet
            start = int(acquire(state, layout.SLOT_OUT_WRITE)) if rendering else written
            first = start + stream_delay(pipeline)
        rings = (memory.input, memory.output)
        why = int(
            run_stream(
                state,
                self._running,
                rings,
                memory.signals,
                pipeline,
                shared.exchange,
                work,
                stream,
                start,
                first,
            )
        )
        return why, stream


def _read_to_the_end(ended: threading.Event) -> None:
    """Set `ended` once standard input ends, which the plugin holds open."""
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    ended.set()
