"""The model in its own process, so that no Python code elsewhere can delay a mask.

`rtsep.model.launch` starts it. It answers every column of the mask exchange in order, and writes lines of
`rtsep.model.messages.ANSWERS` to its original standard output. It ends on request, or with its parent.

A model file is a program by an unknown author. Therefore the process gives up its rights between the two
halves of its start: first it imports, compiles and maps everything that it needs; afterwards it can only load
the model and compute (`rtsep.model.confinement`).
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
from rtsep.realtime import mask_exchange, priority
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.wire import WireError, encode

PRIORITY = 60  # below the hop loop, above all ordinary threads
_PATIENCE_NS = 200_000_000  # interval of checks for STOP and the parent
_LIMIT_EVERY_NS = 1_000_000_000  # interval of new limits of processor time


def serve(shared: mask_exchange.MaskExchange, model: ModelRunner, parent: int) -> None:
    """Answer columns until STOP is set or `parent` is no longer the parent.

    A step that does not end is ended by the limit of processor time, if the parent cannot do that any more.
    """
    exchange = shared.exchange
    header = exchange.header
    scratch = np.zeros(2, np.int64)
    bindings = list(zip(exchange.columns, exchange.masks, strict=True))
    number = acquire(header, mask_exchange.COLUMNS)  # earlier columns are not answered
    release(header, mask_exchange.MODEL_STATE, mask_exchange.READY)
    rests = priority.Rests()
    limited = -_LIMIT_EVERY_NS  # the first turn sets the limit
    while acquire(header, mask_exchange.STOP) == 0:
        began = time.monotonic_ns()
        if began - limited > _LIMIT_EVERY_NS:
            limited = began
            confinement.limit_processor_time(confinement.PROCESSOR_S)
        published = mask_exchange.await_column(exchange, number, _PATIENCE_NS, scratch)
        rests.after_wait(began)
        if published <= number:
            if os.getppid() != parent:
                return
            continue
        if published - number > mask_exchange.CAPACITY - 2:
            # The oldest are being overwritten: continue at the newest.
            release(
                header,
                mask_exchange.MODEL_SKIPPED,
                acquire(header, mask_exchange.MODEL_SKIPPED) + published - 1 - number,
            )
            number = published - 1
            model.reset()
        if acquire(header, mask_exchange.RESET):
            release(header, mask_exchange.RESET, 0)
            model.reset()
        model.bind(*bindings[number % mask_exchange.CAPACITY])
        if model.gpu:
            model.gpu.clocked = bool(acquire(header, mask_exchange.CLOCKED))
        model.step()
        if model.gpu and model.gpu.clocked:
            release(header, mask_exchange.DEVICE_NS, int(1000 * model.gpu.device_us))
        mask_exchange.publish_mask(exchange, number)
        number += 1


def _compile(exchange: mask_exchange.Exchange) -> None:
    """Compile the functions of the loop, or load them from the cache, on a copy of the header."""
    rehearsal = exchange._replace(header=exchange.header.copy())
    mask_exchange.await_column(rehearsal, -1, 0, np.zeros(2, np.int64))
    mask_exchange.publish_mask(rehearsal, 0)
    release(rehearsal.header, mask_exchange.RESET, acquire(rehearsal.header, mask_exchange.RESET))


class _Answers:
    """Pipe to the parent.

    Standard output itself leads to the null device, so that prints cannot fill the pipe.
    """

    def __init__(self) -> None:
        self.pipe = os.dup(1)
        self._nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(self._nowhere, 1)

    def send(self, message: Loading | Ready | Refused) -> None:
        """Send one message."""
        os.write(self.pipe, encode(message).encode("utf-8", "surrogateescape"))

    def refuse(self, why: str, code: int) -> int:
        """Send the reason why the model is not played (any more); return `code`."""
        self.send(Refused(why))
        return code

    def silence_errors(self) -> None:
        """Redirect standard error to the null device, too: an untrusted program must not write messages."""
        os.dup2(self._nowhere, 2)


def main(task: str, moments: dict[str, float]) -> int:
    """Load, report, serve; return the exit code.

    `task` is a line of `messages.TASKS`; `moments` are the times of the start so far (monotonic, in s).
    """
    answers = _Answers()
    try:
        serving = TASKS.decode(task)
    except WireError as error:
        return answers.refuse(str(error), ModelProcessError.exit_code)
    try:
        package = read_package(Path(serving.model), serving.sha256)
        form = form_of(package.spec, serving.compute)  # imports its library, if not done yet
        form.take_this_thread()
        moments.setdefault("model imports", time.monotonic())
        shared = mask_exchange.MaskExchange.attach(
            Path(serving.exchange_path), package.spec.channels, package.spec.bins
        )
    except ModelError as error:
        return answers.refuse(_named(error, serving), ModelError.exit_code)
    except FileNotFoundError:  # the parent has ended meanwhile
        return ModelProcessError.exit_code
    _compile(shared.exchange)
    if serving.real_time:  # requested after it is certain that the program ends
        priority.prepare()
    try:
        _give_up_rights(package, serving, answers)
    except OSError as error:
        why = (
            f"the model process cannot give up its rights ({error}); 'rtsep doctor' shows the available "
            "layers"
        )
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
    package = dataclasses.replace(package, content=b"")  # frees megabytes that are not read again
    try:
        serve(shared, model, serving.parent)
    except Exception as error:  # a program can raise anything
        refusal = form.refusal(package, error)
        if refusal is None:
            raise
        return answers.refuse(str(refusal), ModelError.exit_code)
    return 0


def _give_up_rights(package: ModelPackage, serving: Serve, answers: _Answers) -> None:
    """Keep only the rights that a model needs on its device, as far as this system supports it."""
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
    """Return the text of `error`, which contains the file."""
    text = str(error)
    return text if text.startswith(f"{serving.model}: ") else f"{serving.model}: {text}"
