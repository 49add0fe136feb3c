"""How a model process begins; before anybody knows its model, where that saves time.

    python -m rtsep.model.launch [TASK]

Most of a start is Python loading torch and numba. A process that is begun without a task (`prepare`) does
that while its parent still loads its own modules, and gets the task later, on its standard input. TASK is a
line of `rtsep.model.messages.TASKS`. Imports nothing heavy itself.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from rtsep.realtime.child_process import command_of, environment, require_python
from rtsep.realtime.forks import in_forks

HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""3 MB of weights in a few pages instead of 750: some 10 % of a step with cold caches (glibc 2.35 on)."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""A step is too short to share; and what gives up its rights is a thread (`rtsep.model.confinement`)."""

COMMAND = command_of("rtsep.model.launch")

_prepared: subprocess.Popen[str] | None = None


def prepare() -> None:
    """Begin a process for the model that will be played first; it ends with this one if none is."""
    global _prepared
    if _prepared is None and COMMAND[0]:  # without a Python, the start says so
        _prepared = launch(COMMAND, subprocess.PIPE)


def take(task: str) -> subprocess.Popen[str] | None:
    """Return the prepared process, once, with this line as its task; None where there is none (any more)."""
    global _prepared
    process = _prepared
    if process is None:
        return None
    assert process.stdin
    try:
        with process.stdin as stream:
            stream.write(task)
    except OSError:  # it has ended, and whoever needs one begins another
        _prepared = None
        _end(process)
        return None
    _prepared = None  # not before: an interrupt up to here leaves it to the end of the program
    return process


def launch(command: Sequence[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """Begin a process that speaks on its standard output. Raises `ModelProcessError` without a Python."""
    require_python(command)
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
        env={"GLIBC_TUNABLES": HUGE_PAGES, **environment(), **ONE_THREAD},
    )


def _forget() -> None:
    """Leave what was prepared to the process that prepared it."""
    global _prepared
    _prepared = None


in_forks(_forget)


@atexit.register
def _dismiss() -> None:
    if _prepared:
        _end(_prepared)


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what was not written is not missed
            if pipe:
                pipe.close()


def main() -> NoReturn:
    """Load everything, read the task, do it; the process ends here, with its exit code.

    It ends without Python's own end: to take torch apart costs 0.4 s of a core, for which the end of each
    session would wait. Nothing is lost by it. Answers are written at once, and the system closes the rest.
    """
    code = _run()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # whoever read it has gone, or it is closed
            stream.flush()
    os._exit(code)


def _run() -> int:
    gc.disable()  # a collection with torch loaded takes 141 ms, and those while it loads a sixth of that time
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then tells us
    from rtsep.model import loader, process

    if len(sys.argv) > 1:
        return process.main(sys.argv[1], {})
    loader.preload()
    loaded = time.monotonic()
    task = sys.stdin.readline()
    return process.main(task, {"model imports": loaded}) if task else 0


if __name__ == "__main__":
    main()
