"""Standard input, output and error, including missing streams and readers that have closed them.

A closed stream (`>&-`, many services) leaves its number to the next file that is opened: printed text would
then end up in a recording. If standard error is missing, Python prints its text to standard output.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
from typing import TextIO

_AT_ONCE = getattr(select, "PIPE_BUF", 512)
"""Bytes that a pipe accepts at once when it is ready for writing (POSIX)."""

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def complete() -> None:
    """Open missing standard streams on the null device; call this before any file is opened."""
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


def notify(line: str) -> None:
    """Print a line for the user on standard error; ignore a reader that has closed it or does not read."""
    with contextlib.suppress(OSError):
        if accepts(sys.stderr):
            print(f"rtsep: {line}", file=sys.stderr, flush=True)


def accepts(stream: TextIO, patience_s: float = 0.0) -> bool:
    """Return whether `stream` accepts a short line without a wait, or does so within `patience_s` seconds.

    A full pipe whose reader stands still does not, nor does a terminal after Ctrl-S: writing would wait for
    the reader. True for a stream whose reader has closed it, and where the system cannot tell.
    """
    if not hasattr(select, "poll"):  # Windows
        return True
    waiting = select.poll()
    try:
        waiting.register(stream.fileno(), select.POLLOUT)
    except (OSError, ValueError, AttributeError):  # closed, missing, or not a file
        return True
    return bool(waiting.poll(1000 * patience_s))


_unsent = ""
"""Rest of a line of `print_line` whose first part was accepted; it comes before the next line."""


def print_line(line: str, patience_s: float = 0.0) -> bool:
    """Print `line` (ASCII) on standard output; return False if it was left out, or a part of it still waits.

    Wait at most `patience_s` for each part. Raise `OSError` if the reader has closed the stream.
    """
    global _unsent
    if not _send(_unsent, patience_s):
        return False
    if not accepts(sys.stdout, patience_s):
        return False
    return _send(line + "\n", patience_s)


def _send(text: str, patience_s: float) -> bool:
    global _unsent
    for start in range(0, len(text), _AT_ONCE):
        _unsent = text[start:]
        if not accepts(sys.stdout, patience_s):
            return False
        sys.stdout.write(text[start : start + _AT_ONCE])
        sys.stdout.flush()
    _unsent = ""
    return True


def finish() -> None:
    """Flush all output; raise `OSError` if standard output cannot be written."""
    try:
        _flush("stderr")
    except OSError:  # standard error has no reader
        drop("stderr")
    _flush("stdout")


def is_of_output(error: OSError) -> bool:
    """Return whether an error that reached the outermost layer concerns standard output: it names no file."""
    return isinstance(error, BrokenPipeError) or (error.errno == errno.ENOSPC and error.filename is None)


def _flush(name: str) -> None:
    with contextlib.suppress(ValueError, AttributeError):  # closed, or missing
        getattr(sys, name).flush()


def drop(name: str) -> None:
    """Redirect a stream to the null device, so that nothing is written at the end of the process either."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, getattr(sys, name).fileno())
        os.close(null)
