"""The sockets of sessions: in a private folder of their user, whose permissions protect them.

A session owns its name by a lock on NAME.lock, which the system releases when it dies; only the owner of the
lock removes or creates NAME.sock. Therefore two simultaneous starts never share a name, and a dead session
blocks none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import sys
import tempfile
from pathlib import Path

from rtsep.errors import OutputError, UsageError
from rtsep.folders import DEFAULT_SESSION, is_reachable_folder
from rtsep.realtime import forks, locks

DEFAULT = DEFAULT_SESSION
ELSEWHERE = "RTSEP_SOCKETS"
"""Environment variable with another folder."""

SUFFIX = ".sock"
MAX_OF_A_NAME = 99
_MAX_ADDRESS = 100  # bytes; Linux accepts 108, macOS 104
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_CONNECT_PATIENCE_S = 2.0


class TakenError(UsageError):
    """The name belongs to another session."""


def supported() -> bool:
    """Return whether this system has such sockets; Python on Windows has none."""
    return sys.platform != "win32" and hasattr(socket, "AF_UNIX")


def check_name(name: str) -> str:
    """Return `name` if it is valid for a session; raise `UsageError`."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"session '{name}': a name must have 1 to 32 letters, digits and '-_.', with a letter or "
            "digit first"
        )
    return name


def folders() -> list[Path]:
    """Return the possible folders for sockets; a session uses the first suitable one."""
    if named := os.environ.get(ELSEWHERE):
        return [Path(named)]
    user = os.geteuid()
    runtime = [Path(folder) for folder in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{user}") if folder]
    found = [folder / "rtsep" for folder in runtime if is_reachable_folder(folder)]
    return list(dict.fromkeys([*found, Path(tempfile.gettempdir()) / f"rtsep-{user}"]))


class Folder:
    """Open folder that belongs only to this user. A context manager."""

    def __init__(self, path: Path, make: bool = False) -> None:
        """Open `path`; create it if it is missing and `make` is set. Raise `OSError` and `OutputError`."""
        self.path = path
        if make:
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        found = os.fstat(self.fd)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            os.close(self.fd)
            raise OutputError(f"{path}: not a private folder of this user; remove it, or 'chmod 700' it")

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)

    def address(self, name: str) -> str:
        """Return the address for the session `name`, to bind or connect to. Raise `OutputError`."""
        path = str(self.path / f"{name}{SUFFIX}")
        if len(os.fsencode(path)) <= _MAX_ADDRESS:
            return path
        short = f"/proc/self/fd/{self.fd}/{name}{SUFFIX}"  # the system's own name for the open folder
        if Path(short).parent.is_dir():
            return short
        raise OutputError(f"{path}: too long for a socket; set {ELSEWHERE} to a folder with a shorter path")

    def remove(self, file: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(OSError):
            os.unlink(file, dir_fd=self.fd)


class Claim:
    """Owned name with its socket, which already accepts connections."""

    def __init__(self, folder: Folder, name: str) -> None:
        """Take `name`, and ownership of `folder`. Raise `TakenError`, `OSError` or `OutputError`."""
        self.name, self._folder, self._closed = name, folder, False
        self._origin = forks.Origin()
        self._lock = self._take_lock()
        locks.keep(self._lock)
        try:
            folder.remove(f"{name}{SUFFIX}")  # left by a dead session
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.socket.bind(folder.address(name))
                os.chmod(f"{name}{SUFFIX}", 0o600, dir_fd=folder.fd)
                self.socket.listen(16)
            except BaseException:
                self.socket.close()
                raise
        except BaseException:
            self._let_go()
            raise

    @property
    def path(self) -> Path:
        """Return the path of the socket."""
        return self._folder.path / f"{self.name}{SUFFIX}"

    def close(self) -> None:
        """Release the name; if called again, or in a fork of the process that took it, do nothing."""
        if self._closed or not self._origin.is_here:
            return
        self._closed = True
        self._folder.remove(f"{self.name}{SUFFIX}")
        self.socket.close()
        self._let_go()
        self._folder.close()

    def _take_lock(self) -> int:
        file = f"{self.name}.lock"
        while True:
            lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=self._folder.fd)
            try:
                if not locks.take(lock):
                    raise TakenError(
                        f"a session called '{self.name}' is already running; choose another name with "
                        "--session"
                    )
                there = os.stat(file, dir_fd=self._folder.fd, follow_symlinks=False)
                if os.path.samestat(there, os.fstat(lock)):
                    return lock
            except FileNotFoundError:
                pass  # its last owner has removed it between the two calls
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)

    def _let_go(self) -> None:
        self._folder.remove(f"{self.name}.lock")
        locks.release(self._lock)


def claim(name: str | None = None) -> Claim:
    """Take the name of a session (None: `DEFAULT`, with a number if that is taken).

    Raise `TakenError` if a given name is taken, `OutputError` if no socket can be created.
    """
    names = [check_name(name)] if name else [DEFAULT, *(f"{DEFAULT}-{n}" for n in range(2, MAX_OF_A_NAME))]
    reason = "Python has no Unix sockets on this system"
    for path in folders() if supported() else ():
        try:
            return _claim_in(path, names)
        except OutputError as error:
            reason = str(error)
        except OSError as error:
            reason = f"{path}: {error.strerror}"
    raise OutputError(f"'rtsep attach', 'get' and 'set' will not find this session: {reason}")


def _claim_in(path: Path, names: list[str]) -> Claim:
    for name in names:
        folder = Folder(path, make=True)
        try:
            return Claim(folder, name)
        except TakenError:
            folder.close()
            if name == names[-1]:
                raise
        except BaseException:
            folder.close()
            raise
    raise AssertionError("there is a name at least")


def playing() -> list[str]:
    """Return the names of the sessions that can be reached now."""
    names: set[str] = set()
    for path in folders() if supported() else ():
        with contextlib.suppress(OSError, OutputError), Folder(path) as folder:
            for file in os.listdir(folder.fd):  # noqa: PTH208 - the folder that was checked
                name = file.removesuffix(SUFFIX)
                if name != file and (found := _connect_in(folder, name)):
                    found.close()
                    names.add(name)
    return sorted(names)


def connect(name: str) -> socket.socket | None:
    """Return a connection to the session `name`, None if there is none."""
    for path in folders() if supported() else ():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, OutputError), Folder(path) as folder:
            if found := _connect_in(folder, check_name(name)):
                return found
    return None


def _connect_in(folder: Folder, name: str) -> socket.socket | None:
    try:
        if not stat.S_ISSOCK(os.stat(f"{name}{SUFFIX}", dir_fd=folder.fd, follow_symlinks=False).st_mode):
            return None
    except OSError:
        return None
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.settimeout(_CONNECT_PATIENCE_S)
    try:
        found.connect(folder.address(name))
    except OSError as error:
        found.close()
        if error.errno in (errno.ECONNREFUSED, errno.ENOENT, errno.EAGAIN) or isinstance(error, TimeoutError):
            return None
        raise
    return found
