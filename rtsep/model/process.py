"""The model in a process of its own: nothing that Python does elsewhere can delay a mask from here.

Begun by `rtsep.model.launch`. Answers every column of the shared slots in order. Writes one line of
`rtsep.model.messages.ANSWERS` to standard output. Leaves when told to, or when its parent is gone.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from rtsep.errors import ModelError, ModelProcessError
from rtsep.model.loader import form_of, load
from rtsep.model.messages import TASKS, Ready, Refused, Serve
from rtsep.model.package import read_package
from rtsep.model.runner import ModelRunner
from rtsep.realtime import priority, slots
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.wire import WireError, encode

PRIORITY = 60  # under the hop loop's, over everything ordinary
_PATIENCE_NS = 200_000_000  # how often to look for STOP and the parent


def serve(shared: slots.SharedSlots, model: ModelRunner, parent: int) -> None:
    """Answer columns until STOP is set or `parent` is no longer our parent."""
    exchange = shared.exchange
    scratch = np.zeros(2, np.int64)
    bindings = list(zip(exchange.columns, exchange.masks, strict=True))
    number = acquire(exchange.header, slots.COLUMNS)  # the past is not answered
    release(exchange.header, slots.MODEL_STATE, slots.READY)
    rests = priority.Rests()
    while acquire(exchange.header, slots.STOP) == 0:
        began = time.monotonic_ns()
        published = slots.await_column(exchange, number, _PATIENCE_NS, scratch)
        rests.after_wait(began)
        if published <= number:
            if os.getppid() != parent:
                return
            continue
        if published - number > slots.SLOTS - 2:  # the oldest are being overwritten: start at the newest
            release(
                exchange.header,
                slots.MODEL_SKIPPED,
                acquire(exchange.header, slots.MODEL_SKIPPED) + published - 1 - number,
            )
            number = published - 1
            model.reset()
        model.bind(*bindings[number % slots.SLOTS])
        model.step()
        slots.publish_mask(exchange, number)
        number += 1


def _compile(exchange: slots.Exchange) -> None:
    """Compile (or load from the cache) what the loop calls, on a copy of the header."""
    rehearsal = exchange._replace(header=exchange.header.copy())
    slots.await_column(rehearsal, -1, 0, np.zeros(2, np.int64))
    slots.publish_mask(rehearsal, 0)


def main(task: str, moments: dict[str, float]) -> int:
    """Load, report, serve; returns the exit code.

    `task` is a line of `messages.TASKS`; `moments` are those of the start so far (monotonic times in s).
    """
    try:
        serving = TASKS.decode(task)
    except WireError as error:
        return _refuse(str(error), ModelProcessError.exit_code)
    try:
        model = _load(serving, moments)
    except ModelError as error:
        return _refuse(str(error), ModelError.exit_code)
    try:
        shared = slots.SharedSlots.attach(Path(serving.slots), model.spec.channels, model.spec.bins)
    except FileNotFoundError:  # whoever has begun us has ended meanwhile
        return ModelProcessError.exit_code
    _compile(shared.exchange)
    real_time = priority.raise_thread_priority(PRIORITY)
    locked = priority.lock_memory()
    _answer(Ready(pid=os.getpid(), real_time=real_time, memory_locked=locked, moments=moments))
    serve(shared, model, serving.parent)
    return 0


def _load(task: Serve, moments: dict[str, float]) -> ModelRunner:
    """Load the model of `task`; the file's bytes are not kept."""
    package = read_package(Path(task.model), task.sha256)
    form_of(package.spec, task.device)  # imports its library, if that is not done yet
    moments.setdefault("model imports", time.monotonic())
    model = load(package, task.device, own_thread=True)
    moments["model loaded"] = time.monotonic()
    return model


def _refuse(why: str, code: int) -> int:
    _answer(Refused(why))
    return code


def _answer(message: Ready | Refused) -> None:
    print(encode(message), end="", flush=True)
