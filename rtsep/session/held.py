"""A part of the sound server that one session at a time may change, and the file that tells how to undo it.

The lock of a session ends with its process, however it ends. A file whose lock is free was left by a session
that was killed: what it tells is undone by the next start, or by `rtsep system restore`.
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
    """Holds a part of the server, from `take` to `release`."""

    def __init__(self, part: str) -> None:
        """`part` is a role of `rtsep.audio.pulse_virtual`; the files are called after it."""
        folder = folders.state()
        self._file, self._lock_file = folder / f"{part}.json", folder / f"{part}.lock"
        self._lock: int | None = None

    def take(self) -> bool:
        """Take it; return False if a running session has it. Raises `OutputError` without a state folder."""
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
        """Return the error for a part that a running session has; `what` tells what that does."""
        holder = ""
        with contextlib.suppress(OSError):
            holder = self._lock_file.read_text(encoding="utf-8").strip()
        whose = "this one" if holder == str(os.getpid()) else f"process {holder}" if holder else "another one"
        return DeviceError(f"a session of rtsep ({whose}) {what} already; end it first")

    @property
    def left(self) -> Any:
        """What the file tells; None where there is none, or none that can be read."""
        try:
            return json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    @property
    def is_left(self) -> bool:
        """Whether there is a file."""
        return self._file.exists()

    def keep(self, what: dict[str, Any]) -> None:
        """Write the file, all of it or nothing; raises `OutputError`."""
        beside = self._file.with_suffix(".part")
        try:
            beside.write_text(json.dumps(what), encoding="utf-8")
            beside.replace(self._file)
        except OSError as error:
            raise self._unwritable(self._file, error) from None

    @staticmethod
    def _unwritable(path: Path, error: OSError) -> OutputError:
        return OutputError(f"{path}: cannot be written: {folders.reason(path, error)}")

    def clear(self) -> None:
        """Remove the file: nothing is left to undo."""
        with contextlib.suppress(OSError):
            self._file.unlink()

    def release(self) -> None:
        """Let others take it."""
        if self._lock is not None:
            locks.release(self._lock)
            self._lock = None
