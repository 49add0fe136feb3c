"""The user's folders, also where there is no home: in containers, in services, for a number without a name.

The only place that asks for them. A folder that is not known, or that this user cannot reach, is a folder in
which nothing is found and nothing can be written; whoever writes there says `reason`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

NOWHERE = Path(os.devnull, "rtsep")
"""Stands for a folder that is not known: nothing can lie behind a device."""

_IN_MEMORY = Path("/dev/shm")


def config() -> Path:
    """Return the folder of settings, presets and maps."""
    return _found("user_config_path")


def state() -> Path:
    """Return the folder of what a session leaves for the next one."""
    return _found("user_state_path")


def data() -> Path:
    """Return the folder of the user's own models."""
    return _found("user_data_path")


def cache() -> Path:
    """Return the folder of what can be made anew."""
    return _found("user_cache_path")


def _found(kind: str) -> Path:
    import platformdirs  # not before: `rtsep.unexpected` is there to tell that a package is missing

    try:
        path: Path = getattr(platformdirs, kind)("rtsep")
        path.exists()  # raises where the way there is barred: the home of another user
    except (OSError, RuntimeError):  # the latter: nobody knows a home
        return NOWHERE
    return path if path.is_absolute() else NOWHERE


def reason(path: Path, error: OSError) -> str:
    """Return why a file in one of these folders cannot be written, in words."""
    if NOWHERE.parent in path.parents:
        return "there is no home folder that this user can reach; set HOME to one"
    return error.strerror or str(error)


def settle_temporary() -> None:
    """Let temporary files lie in memory where no other folder can be written, as in a read-only container."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        if os.access(_IN_MEMORY, os.W_OK):
            tempfile.tempdir = str(_IN_MEMORY)


def own_temporary(name: str) -> Path | None:
    """Return a temporary folder for `name` that belongs to this user alone; None: there can be none.

    It is the same one each time. A folder of that name which others can write is not taken: they could plant
    files in it.
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
