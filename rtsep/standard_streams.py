"""Standard input, output and error, also where a program was started without some, or their reader has left.

A closed one (`>&-`, many services) gives its number to the next file that is opened: what is printed then
goes to a recording. And Python prints to standard output what is meant for a standard error that is missing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def complete() -> None:
    """Lead those that are closed to the null device; call it before any file is opened."""
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
            if getattr(sys, name) is None:
                stream = open(number, mode, closefd=False)  # noqa: SIM115 (for the life of the process)
                setattr(sys, name, stream)
                setattr(sys, f"__{name}__", stream)


def say(line: str) -> None:
    """Print a line for the user on standard error; if its reader has left, nothing ends for that."""
    with contextlib.suppress(OSError):
        print(f"rtsep: {line}", file=sys.stderr, flush=True)


def finish() -> None:
    """Write what is still to be written; raises `OSError` where that fails for standard output."""
    try:
        _flush("stderr")
    except OSError:  # nobody is there to be told
        drop("stderr")
    _flush("stdout")


def is_of_output(error: OSError) -> bool:
    """Whether an error that reached the outermost layer is of standard output: it names no file."""
    return isinstance(error, BrokenPipeError) or (error.errno == errno.ENOSPC and error.filename is None)


def _flush(name: str) -> None:
    with contextlib.suppress(ValueError, AttributeError):  # closed, or none
        getattr(sys, name).flush()


def drop(name: str) -> None:
    """Lead a stream nowhere: nothing more is written to it, not at the end of the process either."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, getattr(sys, name).fileno())
        os.close(null)
