"""A file that two processes map: all of its room is reserved before, and a lock says that it is in use.

To touch a mapping whose file finds no room (a small `/dev/shm`, as containers have it) kills a process
without a word. And the owner holds a lock on its file, by which a file of an owner that was killed is found
(`rtsep.realtime.locks`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from rtsep.errors import OutputError
from rtsep.realtime import forks, locks

IN_MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory."""

PREFIX, SUFFIX = "rtsep-", ".slots"
_PIECE = 1 << 20


class SharedFile:
    """A new file of ours, as large as was asked for. Other processes map it by its path."""

    def __init__(self, size: int) -> None:
        """Make a file of `size` bytes, all zeros, in memory if it fits there, else in the temporary folder.

        Raises `OutputError` if it fits nowhere.
        """
        self._origin = forks.Origin()
        self.note = ""
        """For the user: why it does not lie in memory; "" if it does, or if the system has no such place."""
        refusals: list[str] = []
        for folder in _folders():
            try:
                _remove_orphans(folder)
                self.path, self._lock = _make(folder, size)
                if self._lock is not None:
                    locks.keep(self._lock)
                break
            except OSError as error:
                refusals.append(f"{folder}: {error.strerror or error}")
        else:
            raise OutputError(
                f"no room for {size / 2**20:.1f} MB that the model process shares ({'; '.join(refusals)}); "
                "make room there, or name another folder with TMPDIR"
            )
        if refusals:
            self.note = (
                f"{refusals[0]}: the model process shares a file in {self.path.parent} instead, where a busy "
                "disk can delay the sound; 'rtsep doctor' says what to do"
            )

    def close(self) -> None:
        """Remove the file; a second time, and in a fork of the process that made it, do nothing."""
        if self._origin.is_here:
            self.path.unlink(missing_ok=True)
            if self._lock is not None:
                locks.release(self._lock)
                self._lock = None


def _folders() -> list[Path]:
    """Return the folders where the file may lie, the best one first."""
    found = [IN_MEMORY] if sys.platform == "linux" else []
    with contextlib.suppress(FileNotFoundError):  # no folder of the system's can be written
        found.append(Path(tempfile.gettempdir()))
    return found


def _make(folder: Path, size: int) -> tuple[Path, int | None]:
    """Return the path of a new file and, where the system has such locks, the descriptor that locks it."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f"{PREFIX}{os.getpid()}-", suffix=SUFFIX, dir=folder)
        path = Path(name)
        try:
            if (
                not locks.take(handle) or os.fstat(handle).st_nlink == 0
            ):  # another start took it for an orphan
                os.close(handle)
                continue
            _reserve(handle, size)
        except BaseException:
            os.close(handle)
            path.unlink(missing_ok=True)
            raise
        if sys.platform == "win32":
            os.close(handle)
            return path, None
        return path, handle


def _reserve(handle: int, size: int) -> None:
    """Give the file `size` bytes of room; raises `OSError` where they are not there."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
        return
    for start in range(0, size, _PIECE):
        os.write(handle, bytes(min(_PIECE, size - start)))


def _remove_orphans(folder: Path) -> None:
    """Remove the files of owners that were killed and could not do it themselves."""
    if sys.platform == "win32":
        return
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        try:
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue  # another user's, or gone meanwhile
        try:
            if locks.take(handle):
                path.unlink(missing_ok=True)
        except OSError:
            continue  # no locks here, or no right to remove it
        finally:
            os.close(handle)
