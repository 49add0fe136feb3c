"""The start of a model process, seen by its parent: stages, then ready, refused or dead."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence

from rtsep.errors import ModelError, ModelProcessError
from rtsep.model.confinement import PROCESSOR_S
from rtsep.model.messages import ANSWERS, Loading, Ready, Refused
from rtsep.realtime.wire import WireError

_OUT_OF_TIME = -int(getattr(signal, "SIGXCPU", 0))


def await_ready(process: subprocess.Popen[str], command: Sequence[str], patience_s: float) -> Ready:
    """Return the answer of a process that is ready; end it after `patience_s`.

    `command` is the command to start it by hand; its last word is the task. Raise `ModelError` if it refuses
    the model or the model takes too long, `ModelProcessError` if it ends first or sends no answer.
    """
    assert process.stdout
    timer = threading.Timer(patience_s, process.kill)
    timer.daemon = True
    stage = ""
    by_hand = f"try it by hand: {shlex.join(command)}"
    try:
        timer.start()
        while True:
            line = process.stdout.readline()
            if not line.endswith("\n"):  # cut off by its end
                break
            try:
                answer = ANSWERS.decode(line)
            except WireError as error:
                raise ModelProcessError(f"the model process sent {error}; {by_hand}") from None
            if isinstance(answer, Refused):
                raise ModelError(answer.why)
            if isinstance(answer, Ready):
                return answer
            stage = answer.stage
    finally:  # an interrupt must not leave it running
        timer.cancel()
    code = process.wait()
    if stage and code == _OUT_OF_TIME:
        raise ModelError(too_slow(stage))
    raise ModelProcessError(f"the model process ended before it was ready (exit code {code}); {by_hand}")


def too_slow(stage: str) -> str:
    """Return the line for a process that ran out of processor time in this stage."""
    return (
        f"{stage} takes more than {PROCESSOR_S:.0f} s of processor time, as an endless loop does; "
        "do not trust the file, or export a smaller model"
    )


def end_reason(process: subprocess.Popen[str]) -> str:
    """Return why a process has ended: its answer, or its exit code. Close the pipe."""
    assert process.stdout
    with process.stdout:
        lines = process.stdout.read().splitlines()
    stage = ""
    for line in lines:
        with contextlib.suppress(WireError):
            answer = ANSWERS.decode(line)
            if isinstance(answer, Refused):
                return answer.why
            stage = answer.stage if isinstance(answer, Loading) else ""
    if stage and process.returncode == _OUT_OF_TIME:
        return too_slow(stage)
    return f"ended with code {process.returncode}"
