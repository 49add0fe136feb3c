"""Private folder of a page's uploads, locked while its page runs; later pages remove unlocked ones.

A killed page removes nothing itself. Its lock ends with it (`rtsep.realtime.locks`). A second lock, on the
folder itself, keeps systemd-tmpfiles from removing the old files of a page that runs for days.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from rtsep.realtime import locks

if sys.platform == "linux":
    import fcntl

PREFIX = "rtsep-page-"
LOCK = "lock"


class UploadFolder:
    """New folder in the temporary folder, readable by this user only. Raise `OSError`."""

    def __init__(self) -> None:
        self.path, self._lock = _make()
        self._itself = _locked(self.path)

    @property
    def is_there(self) -> bool:
        """Return whether nobody has removed or replaced the folder."""
        try:
            found = self.path.lstat()
            if self._itself is None:
                return stat.S_ISDIR(found.st_mode)
            return os.path.samestat(found, os.fstat(self._itself))
        except OSError:
            return False

    def close(self) -> None:
        """Remove the folder with its files."""
        if self.is_there:
            shutil.rmtree(self.path, ignore_errors=True)
        for lock in (self._lock, self._itself):
            if lock is not None:
                locks.release(lock)


def remove_orphans() -> None:
    """Remove this user's folders of killed pages, except files that are still open, for example playing.

    A folder without a file for its lock stays: an older version may use it. No link is followed.
    """
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # no temporary folder, or an unreadable one
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):  # another user's, just removed, or a file system without locks
                _remove_orphan(path)


def _make() -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = None
        try:
            lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with contextlib.suppress(OSError):  # no locks on this file system, and no orphans removed
                if not locks.take(lock) or os.fstat(lock).st_nlink == 0:  # another page took it for an orphan
                    os.close(lock)
                    continue
        except BaseException:
            if lock is not None:
                os.close(lock)
            shutil.rmtree(path, ignore_errors=True)
            raise
        locks.keep(lock)
        return path, lock


def _locked(path: Path) -> int | None:
    """Open a folder and lock it; None where a folder cannot be opened."""
    try:
        folder = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:  # Windows
        return None
    with contextlib.suppress(OSError):  # no locks on this file system
        locks.take(folder)
    locks.keep(folder)
    return folder


def _remove_orphan(path: Path) -> None:
    with contextlib.ExitStack() as stack:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        stack.callback(os.close, folder)
        if not _is_own(folder):
            return
        lock = os.open(LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        stack.callback(os.close, lock)
        if not _is_own(lock) or not locks.take(lock):
            return
        for _, _, names, inside in os.fwalk(dir_fd=folder):
            if any(_is_open(name, inside) for name in names if name != LOCK):
                return
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            if name != LOCK:
                shutil.rmtree(name, dir_fd=folder)
        os.unlink(LOCK, dir_fd=folder)  # last: a removal that is interrupted continues at the next start
        path.rmdir()


def _is_own(descriptor: int) -> bool:
    """Return whether an open file or folder belongs to this user, and no other user can write it."""
    found = os.fstat(descriptor)
    return found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _is_open(name: str, folder: int) -> bool:
    """Return whether a program has this file open: a page may have crashed while a session plays its file.

    Linux grants a lease for writing only to the sole user of a file. Other systems have none.
    """
    if sys.platform != "linux":
        return False
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(file)
    return False
