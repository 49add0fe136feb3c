"""The user's folders, including the case of no home folder: containers, services, unnamed user ids.

All other modules get these folders here. If a folder is unknown or out of reach for this user, nothing is
found in it and nothing can be written to it; `reason` gives the explanation for a message.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

NOWHERE = Path(os.devnull, "rtsep")
"""Placeholder for an unknown folder: no file can exist below the null device."""

DEFAULT_SESSION = "default"
"""Name of a session without a given one."""

_IN_MEMORY = Path("/dev/shm")


def config() -> Path:
    """Return the folder for settings, presets and maps."""
    return _found("user_config_path")


def state() -> Path:
    """Return the folder for the state that one session leaves for the next."""
    return _found("user_state_path")


def state_of(session: str, what: str) -> Path:
    """Return the path of the state `what` of the session of this name, a valid one.

    Sessions that play together share no file. The default session's file has no name of a session.
    """
    return state() / (f"{what}.toml" if session == DEFAULT_SESSION else f"{what}-{session}.toml")


def data() -> Path:
    """Return the folder for the user's own models."""
    return _found("user_data_path")


def cache() -> Path:
    """Return the folder for files that can be created again."""
    return _found("user_cache_path")


def _found(kind: str) -> Path:
    import platformdirs  # imported late: `rtsep.unexpected` reports a missing package

    try:
        path: Path = getattr(platformdirs, kind)("rtsep")
        path.exists()  # raises if the path is barred: another user's home
    except (OSError, RuntimeError):  # RuntimeError: the home folder is unknown
        return NOWHERE
    return path if path.is_absolute() else NOWHERE


def is_reachable(path: Path) -> bool:
    """Return whether `path` exists and this user can reach it; in Python 3.11 `Path.exists` may raise."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a barred folder, or an invalid name
        return False


def is_reachable_folder(path: Path) -> bool:
    """Return whether `path` is a folder and this user can reach it."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def has_current() -> bool:
    """Return whether the current folder exists; another program may have removed it."""
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def reason(path: Path, error: OSError) -> str:
    """Return as text why a file in one of these folders cannot be written."""
    if NOWHERE.parent in path.parents:
        return "this user has no home folder within reach; set HOME to one"
    return error.strerror or str(error)


def settle_temporary() -> None:
    """Put temporary files in memory if no other folder can be written, as in a read-only container."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        if os.access(_IN_MEMORY, os.W_OK):
            tempfile.tempdir = str(_IN_MEMORY)


def own_temporary(name: str) -> Path | None:
    """Return a temporary folder for `name` that only this user can write; None: impossible.

    Every call returns the same folder. An existing folder that others can write is refused, as they could
    plant files in it.
    """
    with contextlib.suppress(OSError):
        user = os.geteuid() if hasattr(os, "geteuid") else "user"
        path = Path(tempfile.gettempdir(), f"rtsep-{name}-{user}")
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        if os.name != "posix" or (path.is_dir() and found.st_uid == user and found.st_mode & 0o077 == 0):
            return path
    return None
