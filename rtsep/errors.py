"""What can go wrong by a user's doing, each kind with the exit code that scripts may rely on.

A message is one line: what was given, what is accepted, what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RtsepError(Exception):
    """Base of every error that a user can mend; `exit_code` is what the command line returns."""

    exit_code = 1


UNEXPECTED = 10
"""The exit code for any other exception: a defect, or a machine in a state that nobody has foreseen."""

INTERRUPTED = 130
"""The exit code after a Ctrl-C, as shells have it."""


class UsageError(RtsepError, ValueError):
    """An option or argument has a value that makes no sense."""

    exit_code = 2


class DeviceError(RtsepError):
    """An audio device is missing, refuses the format, or went away."""

    exit_code = 3


class ModelError(RtsepError):
    """A model file is missing, broken, or not one of ours."""

    exit_code = 4


class InputFileError(RtsepError):
    """An audio file cannot be found, read or decoded."""

    exit_code = 5


class NoSoundError(InputFileError):
    """An audio file is whole, but there is no sound in it."""


class OutputError(RtsepError):
    """A result cannot be written: no permission, no space, not a folder."""

    exit_code = 6


class ModelProcessError(RtsepError):
    """The model's process did not come up, or would not stay up."""

    exit_code = 7


class SessionError(RtsepError):
    """There is no session to attach to, or it has gone meanwhile."""

    exit_code = 8


class CompileError(RtsepError):
    """The code of the audio path cannot be compiled on this machine."""

    exit_code = 9


def in_a_line(error: BaseException) -> str:
    """Return an error that is no `RtsepError` as one line: its class, and what it says first."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__


def suggest(given: str, known: Iterable[str], limit: int = 3) -> str:
    """Return `"; did you mean 'a' or 'b'?"` for the nearest known words, or an empty string."""
    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(given.lower(), by_lower, n=limit, cutoff=0.5)
    if not near:
        return ""
    return "; did you mean " + " or ".join(f"'{by_lower[word]}'" for word in near) + "?"
