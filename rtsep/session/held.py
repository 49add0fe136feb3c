"""A part of the sound server that only one session may change at a time, with a file for undoing the change.

The lock of a session ends with its process, however that ends. A file with a free lock was left by a killed
session; the next start or `rtsep system restore` undoes its changes.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from rtsep import folders
from rtsep.errors import DeviceError, OutputError
from rtsep.realtime import locks


class Held:
    """Lock on a part of the server, from `take` to `release`."""

    def __init__(self, part: str) -> None:
        """`part` is a role of `rtsep.audio.pulse_virtual` and gives the files their name."""
        folder = folders.state()
        self._file, self._lock_file = folder / f"{part}.json", folder / f"{part}.lock"
        self._lock: int | None = None

    def take(self) -> bool:
        """Take the lock; return False if a running session has it.

        Raise `OutputError` without a state folder.
        """
        try:
            self._lock_file.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unwritable(self._lock_file, error) from None
        try:
            if not locks.take(lock):
                os.close(lock)
                return False
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
        except OSError as error:
            os.close(lock)
            raise self._unwritable(self._lock_file, error) from None
        locks.keep(lock)
        self._lock = lock
        return True

    def refusal(self, what: str) -> DeviceError:
        """Return the error for a part that a running session holds; `what` describes its use."""
        holder = ""
        with contextlib.suppress(OSError):
            holder = self._lock_file.read_text(encoding="utf-8").strip()
        whose = "this one" if holder == str(os.getpid()) else f"process {holder}" if holder else "another one"
        return DeviceError(f"another session of rtsep ({whose}) already {what}; end it first")

    @property
    def left(self) -> Any:
        """Return the content of the file; None if it is missing or unreadable."""
        try:
            return json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None

    @property
    def is_left(self) -> bool:
        """Return whether the file exists."""
        return folders.is_reachable(self._file)

    def keep(self, what: dict[str, Any]) -> None:
        """Write the file atomically; raise `OutputError` if that fails."""
        temporary = self._file.with_suffix(".part")
        try:
            temporary.write_text(json.dumps(what), encoding="utf-8")
            temporary.replace(self._file)
        except OSError as error:
            raise self._unwritable(self._file, error) from None

    @staticmethod
    def _unwritable(path: Path, error: OSError) -> OutputError:
        return OutputError(f"{path}: cannot be written: {folders.reason(path, error)}")

    def clear(self) -> None:
        """Remove the file: nothing needs to be undone."""
        with contextlib.suppress(OSError):
            self._file.unlink()

    def release(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            locks.release(self._lock)
            self._lock = None
