"""Errors that a user can correct, each class with an exit code for scripts.

A message is one line: the value that was given, the values that are accepted, and the remedy.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class RtsepError(Exception):
    """Base class of every error that a user can correct; the command line returns its `exit_code`."""

    exit_code = 1


UNEXPECTED = 10
"""Exit code for any other exception: a defect, or an unforeseen state of the machine."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, by the convention of shells."""

REMEDIES = {
    errno.EMFILE: "raise the limit of open files: ulimit -n 1024",
    errno.ENFILE: "all programs together have too many open files: close some programs",
    errno.EAGAIN: "raise the limit of processes (ulimit -u), or close some programs",
    errno.ENOMEM: "raise the limit of memory (ulimit -v), or close some programs",
}
"""Remedies if a limit of the machine or of the user is reached, by the number of the error."""


class UsageError(RtsepError, ValueError):
    """An option or argument has an invalid value."""

    exit_code = 2


class DeviceError(RtsepError):
    """An audio device is missing, refuses the format, or disappeared."""

    exit_code = 3


class ModelError(RtsepError):
    """A model file is missing, damaged, or not an rtsep model."""

    exit_code = 4


class InputFileError(RtsepError):
    """An audio file cannot be found, read or decoded."""

    exit_code = 5


class NoSoundError(InputFileError):
    """An audio file is intact but contains no audio."""


class OutputError(RtsepError):
    """A result cannot be written: no permission, no space, or not a folder."""

    exit_code = 6


class ModelProcessError(RtsepError):
    """The model process did not start, or failed repeatedly."""

    exit_code = 7


class NoThreadError(RtsepError):
    """The machine or a limit of the user refuses another thread."""

    def __init__(self) -> None:
        super().__init__(f"no thread can be started; {REMEDIES[errno.EAGAIN]}")


class SessionError(RtsepError):
    """There is no session to attach to, or it has ended."""

    exit_code = 8


class CompileError(RtsepError):
    """The audio path's code cannot be compiled on this machine."""

    exit_code = 9


def in_a_line(error: BaseException) -> str:
    """Return an error that is not an `RtsepError` as one line: its class and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def without_controls(text: str) -> str:
    """Return untrusted text with "?" for each character that could move the cursor or break the line."""
    return "".join(c if c.isprintable() else "?" for c in text)


def system_reason(error: OSError) -> str:
    """Return the system's reason for an error, with the remedy if a limit is reached."""
    reason = error.strerror or type(error).__name__
    remedy = REMEDIES.get(error.errno or 0)
    return f"{reason}; {remedy}" if remedy else reason


def suggest(given: str, known: Iterable[str], limit: int = 3) -> str:
    """Return `"; did you mean 'a' or 'b'?"` for the nearest known words, or an empty string."""
    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(given.lower(), by_lower, n=limit, cutoff=0.5)
    if not near:
        return ""
    return "; did you mean " + " or ".join(f"'{by_lower[word]}'" for word in near) + "?"
