"""A file that two processes map: all its space is reserved first, and a lock marks it as in use.

Access to a mapping without space in its file (a small `/dev/shm`, as in containers) kills a process silently.
The owner holds a lock on its file, which identifies files of killed owners (`rtsep.realtime.locks`).
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
"""Linux's folder for files in memory."""

PREFIX, SUFFIX = "rtsep-", ".slots"
_PIECE = 1 << 20


class SharedFile:
    """New file of the requested size. Other processes map it by its path."""

    def __init__(self, size: int) -> None:
        """Create a file of `size` zero bytes, in memory if it fits there, else in the temporary folder.

        Raise `OutputError` if it fits nowhere.
        """
        self._origin = forks.Origin()
        self.note = ""
        """Line for the user about a file that is not in memory; "" if it is, or if the system has no such
        place."""
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
                f"no space for {size / 2**20:.1f} MB that the model process shares ({'; '.join(refusals)}); "
                "free some there, or name another folder with TMPDIR"
            )
        if refusals:
            self.note = (
                f"{refusals[0]}: the model process shares a file in {self.path.parent} instead, where a busy "
                "disk can delay the audio; 'rtsep doctor' shows the remedy"
            )

    def close(self) -> None:
        """Remove the file; if called again, or in a fork of the creating process, do nothing."""
        if self._origin.is_here:
            self.path.unlink(missing_ok=True)
            if self._lock is not None:
                locks.release(self._lock)
                self._lock = None


def _folders() -> list[Path]:
    """Return the possible folders of the file, the best one first."""
    found = [IN_MEMORY] if sys.platform == "linux" else []
    with contextlib.suppress(FileNotFoundError):  # the system has no writable folder
        found.append(Path(tempfile.gettempdir()))
    return found


def _make(folder: Path, size: int) -> tuple[Path, int | None]:
    """Return the path of a new file and, if the system has such locks, the descriptor that locks it."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f"{PREFIX}{os.getpid()}-", suffix=SUFFIX, dir=folder)
        path = Path(name)
        try:
            if (
                not locks.take(handle) or os.fstat(handle).st_nlink == 0
            ):  # another start took it for an abandoned file
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
    """Reserve `size` bytes for the file; raise `OSError` if they are not available."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
        return
    for start in range(0, size, _PIECE):
        os.write(handle, bytes(min(_PIECE, size - start)))


def _remove_orphans(folder: Path) -> None:
    """Remove the files of killed owners."""
    if sys.platform == "win32":
        return
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        try:
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue  # another user's, or just removed
        try:
            if locks.take(handle):
                path.unlink(missing_ok=True)
        except OSError:
            continue  # no locks here, or no right to remove it
        finally:
            os.close(handle)
