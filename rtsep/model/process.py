"""The model in a process of its own: nothing that Python does elsewhere can delay a mask from here.

Begun by `rtsep.model.launch`. Answers every column of the shared slots in order. Writes lines of
`rtsep.model.messages.ANSWERS` to its first standard output. Leaves when told to, or when its parent is gone.

A model file is a program, and nobody knows who wrote it. So the process gives up its rights between the two
halves of its start: first all that it needs is imported, compiled and mapped, then nothing is left to it but
to load the model and to compute (`rtsep.model.confinement`).
"""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import numpy as np

from rtsep.errors import ModelError, ModelProcessError
from rtsep.model import confinement
from rtsep.model.known import is_shipped
from rtsep.model.loader import form_of, load
from rtsep.model.messages import TASKS, Loading, Ready, Refused, Serve
from rtsep.model.package import ModelPackage, read_package
from rtsep.model.runner import ModelRunner
from rtsep.realtime import priority, slots
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.wire import WireError, encode

PRIORITY = 60  # under the hop loop's, over everything ordinary
_PATIENCE_NS = 200_000_000  # how often to look for STOP and the parent


def serve(shared: slots.SharedSlots, model: ModelRunner, parent: int) -> None:
    """Answer columns until STOP is set or `parent` is no longer our parent."""
    exchange = shared.exchange
    header = exchange.header
    scratch = np.zeros(2, np.int64)
    bindings = list(zip(exchange.columns, exchange.masks, strict=True))
    number = acquire(header, slots.COLUMNS)  # the past is not answered
    release(header, slots.MODEL_STATE, slots.READY)
    rests = priority.Rests()
    while acquire(header, slots.STOP) == 0:
        began = time.monotonic_ns()
        published = slots.await_column(exchange, number, _PATIENCE_NS, scratch)
        rests.after_wait(began)
        if published <= number:
            if os.getppid() != parent:
                return
            continue
        if published - number > slots.SLOTS - 2:  # the oldest are being overwritten: start at the newest
            release(
                header,
                slots.MODEL_SKIPPED,
                acquire(header, slots.MODEL_SKIPPED) + published - 1 - number,
            )
            number = published - 1
            model.reset()
        if acquire(header, slots.RESET):
            release(header, slots.RESET, 0)
            model.reset()
        model.bind(*bindings[number % slots.SLOTS])
        if model.gpu:
            model.gpu.clocked = bool(acquire(header, slots.CLOCKED))
        model.step()
        if model.gpu and model.gpu.clocked:
            release(header, slots.DEVICE_NS, int(1000 * model.gpu.device_us))
        slots.publish_mask(exchange, number)
        number += 1


def _compile(exchange: slots.Exchange) -> None:
    """Compile (or load from the cache) what the loop calls, on a copy of the header."""
    rehearsal = exchange._replace(header=exchange.header.copy())
    slots.await_column(rehearsal, -1, 0, np.zeros(2, np.int64))
    slots.publish_mask(rehearsal, 0)
    release(rehearsal.header, slots.RESET, acquire(rehearsal.header, slots.RESET))


class _Answers:
    """The pipe to whoever has begun us. Standard output itself goes nowhere: what prints cannot fill it."""

    def __init__(self) -> None:
        self.pipe = os.dup(1)
        self._nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(self._nowhere, 1)

    def send(self, message: Loading | Ready | Refused) -> None:
        """Send one message."""
        os.write(self.pipe, encode(message).encode("utf-8", "surrogateescape"))

    def refuse(self, why: str, code: int) -> int:
        """Send why the model is not played (any more); returns `code`."""
        self.send(Refused(why))
        return code

    def silence_errors(self) -> None:
        """Let standard error go nowhere, too: a stranger's words are no lines of ours."""
        os.dup2(self._nowhere, 2)


def main(task: str, moments: dict[str, float]) -> int:
    """Load, report, serve; returns the exit code.

    `task` is a line of `messages.TASKS`; `moments` are those of the start so far (monotonic times in s).
    """
    answers = _Answers()
    try:
        serving = TASKS.decode(task)
    except WireError as error:
        return answers.refuse(str(error), ModelProcessError.exit_code)
    try:
        package = read_package(Path(serving.model), serving.sha256)
        form = form_of(package.spec, serving.compute)  # imports its library, if that is not done yet
        form.take_this_thread()
        moments.setdefault("model imports", time.monotonic())
        shared = slots.SharedSlots.attach(Path(serving.slots), package.spec.channels, package.spec.bins)
    except ModelError as error:
        return answers.refuse(_named(error, serving), ModelError.exit_code)
    except FileNotFoundError:  # whoever has begun us has ended meanwhile
        return ModelProcessError.exit_code
    _compile(shared.exchange)
    if serving.real_time:  # asked for when the program is known to end
        priority.prepare()
    try:
        _give_up_rights(package, serving, answers)
    except OSError as error:
        why = f"the model process cannot give up its rights ({error}); 'rtsep doctor' tells what is there"
        return answers.refuse(why, ModelProcessError.exit_code)
    try:
        model = load(
            package,
            serving.compute,
            graph=serving.graph,
            begins=lambda stage: answers.send(Loading(stage)),
        )
    except ModelError as error:
        return answers.refuse(str(error), ModelError.exit_code)
    moments["model loaded"] = time.monotonic()
    confinement.limit_processor_time(None)
    real_time = serving.real_time and priority.raise_thread_priority(PRIORITY)
    locked = serving.real_time and priority.lock_memory()
    answers.send(
        Ready(
            pid=os.getpid(),
            real_time=real_time,
            memory_locked=locked,
            moments=moments,
            golden_error=float(model.golden_error),
            gpu=model.gpu is not None,
            captured=bool(model.gpu and model.gpu.captured),
            not_captured=model.gpu.not_captured if model.gpu else "",
        )
    )
    package = dataclasses.replace(package, content=b"")  # megabytes that nobody reads again
    try:
        serve(shared, model, serving.parent)
    except Exception as error:  # a program can raise anything
        refusal = form.refusal(package, error)
        if refusal is None:
            raise
        return answers.refuse(str(refusal), ModelError.exit_code)
    return 0


def _give_up_rights(package: ModelPackage, serving: Serve, answers: _Answers) -> None:
    """Keep only the rights that a model needs on its device, as far as this system takes them."""
    if not is_shipped(package.sha256):
        answers.silence_errors()
    layers = [
        layer
        for layer in confinement.LAYERS
        if serving.compute == "cpu" or layer not in confinement.NOT_ON_A_GPU
    ]
    confinement.limit_processor_time(confinement.PROCESSOR_S)
    confinement.confine((answers.pipe, 1, 2), layers)


def _named(error: ModelError, serving: Serve) -> str:
    """Return the text of `error`, which names the file."""
    text = str(error)
    return text if text.startswith(f"{serving.model}: ") else f"{serving.model}: {text}"
