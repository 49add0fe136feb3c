"""The two keys of the page, the last part of its addresses: one may control, one may only read.

They are kept across sessions, so that a bookmark on a phone stays valid. Deleting the file creates new ones.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from rtsep import folders
from rtsep.errors import OutputError

_KEY = re.compile(r"[A-Za-z0-9_-]{22}")
_BYTES = 16  # 128 bits: nobody guesses them


class Keys:
    """The keys of a page."""

    def __init__(self, turning: str, reading: str) -> None:
        self.turning, self.reading = turning, reading

    @classmethod
    def new(cls) -> Keys:
        """Return new keys."""
        return cls(secrets.token_urlsafe(_BYTES), secrets.token_urlsafe(_BYTES))

    def allows(self, key: str) -> bool | None:
        """Return whether `key` may control (True) or only read (False); return None for an unknown key."""
        given = key.encode("utf-8", "surrogateescape")
        turns = hmac.compare_digest(given, self.turning.encode())
        reads = hmac.compare_digest(given, self.reading.encode())
        return True if turns else False if reads else None


def keys_file() -> Path:
    """Return the path of the keys."""
    return folders.state() / "page.keys"


def load_keys(path: Path | None = None) -> Keys:
    """Return the user's keys; create them if they are missing.

    Raise `OutputError` if they cannot be stored, or if others can read them.
    """
    path = path or keys_file()
    try:
        found = path.lstat()
        if os.name == "posix" and (found.st_mode & 0o077 or found.st_uid != os.geteuid()):
            raise OutputError(
                f"{path}: others can read these keys; delete the file, and there will be new ones"
            )
        if not stat.S_ISREG(found.st_mode):  # a FIFO would be waited for
            raise OutputError(f"{path}: not a file; delete it, and there will be new keys")
        words = path.read_text("ascii", errors="replace").split()
        if len(words) == 2 and all(_KEY.fullmatch(word) for word in words):
            return Keys(*words)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"{path}: {folders.reason(path, error)}") from None
    return _made(path)


def _made(path: Path) -> Keys:
    keys = Keys.new()
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{keys.turning}\n{keys.reading}\n")
        fresh.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: {folders.reason(path, error)}; the page's address would change") from None
    return keys
