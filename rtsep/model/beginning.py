"""The start of a model process, seen by its parent: stages, then ready, refused or dead."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from rtsep.errors import ModelError, ModelProcessError
from rtsep.model.confinement import PROCESSOR_S
from rtsep.model.messages import ANSWERS, Loading, Ready, Refused
from rtsep.realtime import threads
from rtsep.realtime.wire import WireError

MAX_BYTES = 1 << 16
"""Limit of a line, of all lines before a process is ready, and of those it leaves at its end."""

_MAX_SHOWN = 5000  # characters
_OUT_OF_TIME = -int(getattr(signal, "SIGXCPU", 0))


def await_ready(process: subprocess.Popen[bytes], command: Sequence[str], patience_s: float) -> Ready:
    """Return the answer of a process that is ready; end it after `patience_s`.

    `command` is the command to start it by hand; its last word is the task. Raise `ModelError` if it refuses
    the model or the model takes too long, `ModelProcessError` if it ends first, sends no answer, or
    sends more than `MAX_BYTES`, `NoThreadError` if the time limit cannot be watched.
    """
    assert process.stdout
    timer = threading.Timer(patience_s, process.kill)
    timer.daemon = True
    stage, left = "", MAX_BYTES
    by_hand = f"try it by hand: {shlex.join(command)}"
    try:
        threads.start(timer)
        while True:
            line = process.stdout.readline(left)
            if len(line) == left:
                raise ModelProcessError(
                    f"the model process sent more than {MAX_BYTES >> 10} kB before it was ready; {by_hand}"
                )
            if not line.endswith(b"\n"):  # cut off by its end
                break
            left -= len(line)
            try:
                answer = ANSWERS.decode(_text(line))
            except WireError as error:
                raise ModelProcessError(f"the model process sent {_shown(str(error))}; {by_hand}") from None
            if isinstance(answer, Refused):
                raise ModelError(_shown(answer.why))
            if isinstance(answer, Ready):
                return answer
            stage = _shown(answer.stage)
        code = process.wait()  # the time limit covers a process that only closes its output
    finally:  # an interrupt must not leave it running
        timer.cancel()
    if stage and code == _OUT_OF_TIME:
        raise ModelError(too_slow(stage))
    raise ModelProcessError(f"the model process ended before it was ready (exit code {code}); {by_hand}")


def too_slow(stage: str) -> str:
    """Return the line for a process that ran out of processor time in this stage."""
    return (
        f"{stage} takes more than {PROCESSOR_S:.0f} s of processor time, as an endless loop does; "
        "do not trust the file, or export a smaller model"
    )


def end_reason(process: subprocess.Popen[bytes]) -> str:
    """Return why a process has ended: its answer, or its exit code. Close the pipe.

    Nothing that it has left there raises an error, and a copy of the pipe in another process delays nothing.
    """
    stage = ""
    for line in _left_by(process).splitlines():
        try:
            answer = ANSWERS.decode(line)
        except WireError:
            continue
        if isinstance(answer, Refused):
            return _shown(answer.why)
        stage = _shown(answer.stage) if isinstance(answer, Loading) else ""
    if stage and process.returncode == _OUT_OF_TIME:
        return too_slow(stage)
    return f"ended with code {process.returncode}"


def _left_by(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout
    try:
        with process.stdout as pipe:
            if sys.platform != "win32":
                os.set_blocking(pipe.fileno(), False)
            return _text(pipe.read(MAX_BYTES) or b"")  # None: nothing there, and the pipe is still open
    except (OSError, ValueError):  # ValueError: closed
        return ""


def _text(line: bytes) -> str:
    return line.decode(errors="replace")


def _shown(text: str) -> str:
    """Return text of the process for a line: shortened, without control characters; bytes of a path stay."""
    return "".join(
        c if c.isprintable() or "\udc80" <= c <= "\udcff" else ascii(c)[1:-1] for c in text[:_MAX_SHOWN]
    )
