"""How a model process begins; before anybody knows its model, where that saves time.

    python -m rtsep.model.launch [SLOTS MODEL DEVICE PARENT]

Most of a start is Python loading torch and numba. A process that is begun without arguments (`prepare`) does
that while its parent still loads its own modules, and gets the arguments later, as a JSON list on its
standard input. Imports nothing heavy itself.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from rtsep.realtime.child_process import command_of

HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""3 MB of weights in a few pages instead of 750: some 10 % of a step with cold caches (glibc 2.35 on)."""

COMMAND = command_of("rtsep.model.launch")

_prepared: subprocess.Popen[str] | None = None


def prepare() -> None:
    """Begin a process for the model that will be played first; it ends with this one if none is."""
    global _prepared
    if _prepared is None:
        _prepared = launch(COMMAND, subprocess.PIPE)


def take(arguments: Sequence[str]) -> subprocess.Popen[str] | None:
    """Return the prepared process, once, told what to do; None where there is none (any more)."""
    global _prepared
    process = _prepared
    if process is None:
        return None
    assert process.stdin
    try:
        with process.stdin as task:
            task.write(json.dumps(list(arguments)) + "\n")
    except OSError:  # it has ended, and whoever needs one begins another
        _prepared = None
        _end(process)
        return None
    _prepared = None  # not before: an interrupt up to here leaves it to the end of the program
    return process


def launch(command: Sequence[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """Begin a process that speaks on its standard output."""
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
        env={"GLIBC_TUNABLES": HUGE_PAGES, **os.environ},
    )


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


def main() -> int:
    """Load everything, learn what to do, do it."""
    gc.disable()  # a collection with torch loaded takes 141 ms, and those while it loads a sixth of that time
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then tells us
    from rtsep.model import process

    loaded = time.monotonic()
    arguments = sys.argv[1:] or json.loads(sys.stdin.readline() or "[]")
    return process.main(arguments, {"model imports": loaded}) if arguments else 0


if __name__ == "__main__":
    sys.exit(main())
