"""The model in a process of its own: nothing that Python does elsewhere can delay a mask from here.

Begun by `rtsep.model.launch`. Answers every column of the shared slots in order. Speaks one JSON line on
standard output: `{"ready": ...}` or `{"error": ...}`. Leaves when told to, or when its parent is gone.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np

from rtsep.errors import ModelError, ModelProcessError
from rtsep.model.loader import Stepper, take_this_thread
from rtsep.model.package import read_package
from rtsep.realtime import priority, slots
from rtsep.realtime.atomics import acquire, release

PRIORITY = 60  # under the hop loop's, over everything ordinary
_PATIENCE_NS = 200_000_000  # how often to look for STOP and the parent


def serve(shared: slots.SharedSlots, model: Stepper, parent: int) -> None:
    """Answer columns until STOP is set or `parent` is no longer our parent."""
    exchange = shared.exchange
    scratch = np.zeros(2, np.int64)
    bindings = list(zip(exchange.columns, exchange.masks, strict=True))
    number = acquire(exchange.header, slots.COLUMNS)  # the past is not answered
    release(exchange.header, slots.MODEL_STATE, slots.READY)
    while acquire(exchange.header, slots.STOP) == 0:
        published = slots.await_column(exchange, number, _PATIENCE_NS, scratch)
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


def main(arguments: list[str], moments: dict[str, float]) -> int:
    """Load, report, serve; `moments` are those of the start so far."""
    slots_path, model_path, device, parent = (
        Path(arguments[0]),
        Path(arguments[1]),
        arguments[2],
        int(arguments[3]),
    )
    take_this_thread()
    try:
        package = read_package(model_path)
        model = Stepper(package, device)
    except ModelError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return ModelError.exit_code
    moments["model loaded"] = time.monotonic()
    try:
        shared = slots.SharedSlots.attach(slots_path, package.spec.channels, package.spec.bins)
    except FileNotFoundError:  # whoever has begun us has ended meanwhile
        return ModelProcessError.exit_code
    _compile(shared.exchange)
    real_time = priority.raise_thread_priority(PRIORITY)
    locked = priority.lock_memory()
    said = {"ready": os.getpid(), "real_time": real_time, "memory_locked": locked, "moments": moments}
    print(json.dumps(said), flush=True)
    serve(shared, model, parent)
    return 0
