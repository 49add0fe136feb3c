"""Start of a model process, even before its model is known if that saves time.

    python -m rtsep.model.launch [TASK]

Most of a start is the import of torch and numba. A process without a task (`prepare`) imports them while its
parent still loads its own modules, and gets the task later on standard input. TASK is a line of
`rtsep.model.messages.TASKS`. This module itself imports nothing heavy.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from rtsep.errors import CompileError
from rtsep.realtime.child_process import command_of, environment, require_python
from rtsep.realtime.forks import in_forks

HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""Setting that puts 3 MB of weights into a few pages instead of 750: about 10 % of a step with cold caches
(glibc 2.35 on)."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Settings for one thread: a step is too short to share, and rights belong to a thread
(`rtsep.model.confinement`)."""

COMMAND = command_of("rtsep.model.launch")

_prepared: subprocess.Popen[bytes] | None = None
_taking = threading.Lock()  # several threads may load models at once


def prepare() -> None:
    """Start a process for the first model; it ends with this one if it gets no task."""
    global _prepared
    if _prepared is None and COMMAND[0]:  # without a Python, the start itself reports the error
        _prepared = launch(COMMAND, subprocess.PIPE)


def take(task: str) -> subprocess.Popen[bytes] | None:
    """Return the prepared process, once, with this line as its task; None if there is none (any more)."""
    global _prepared
    with _taking:
        process = _prepared
        if process is None:
            return None
        assert process.stdin
        try:
            with process.stdin as stream:
                stream.write(task.encode())
        except OSError:  # it has ended; the caller starts another one
            _prepared = None
            _end(process)
            return None
        _prepared = None  # not earlier: after an interrupt before this line, it ends with the program
        return process


def launch(command: Sequence[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start a process that answers on its standard output. Raise `ModelProcessError` without a Python.

    Its pipes carry bytes: a process that a model has taken over may send anything (`rtsep.model.beginning`).
    """
    require_python(command)
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        env={"GLIBC_TUNABLES": HUGE_PAGES, **environment(), **ONE_THREAD},
    )


def _forget() -> None:
    """Leave the prepared process to the process that started it."""
    global _prepared, _taking
    _prepared = None
    _taking = threading.Lock()  # another thread may have held it at the fork


in_forks(_forget)


@atexit.register
def _dismiss() -> None:
    if _prepared:
        _end(_prepared)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # unwritten data does not matter
            if pipe:
                pipe.close()


def main() -> NoReturn:
    """Load everything, read the task and run it; the process ends here, with its exit code.

    It skips Python's normal end: unloading torch takes 0.4 s of a core, and the end of each session would
    wait for it. Nothing is lost: answers are written at once, and the system closes the rest.
    """
    code = _run()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader has ended, or the stream is closed
            stream.flush()
    os._exit(code)


def _run() -> int:
    # a collection with torch loaded takes 141 ms, and collections during the import a sixth of its time
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    try:
        from rtsep.model import loader, process
    except CompileError as error:  # the parent reports the same settings
        return error.exit_code

    if len(sys.argv) > 1:
        return process.main(sys.argv[1], {})
    loader.preload()
    loaded = time.monotonic()
    task = sys.stdin.readline()
    return process.main(task, {"model imports": loaded}) if task else 0


if __name__ == "__main__":
    main()
