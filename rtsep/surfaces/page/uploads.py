"""Files that are dropped on a page: one at a time, bounded, in a private folder that goes with the server."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from rtsep.errors import InputFileError, OutputError, UsageError

MOST_BYTES = 1 << 30
SPARE_BYTES = 1 << 28
"""What stays free on the disk."""

PATIENCE_S = 20.0
"""How long a part of a file may take to come."""

_LONGEST_NAME = 80
_KEPT = 2  # the file that plays, and the next one


class Uploads:
    """Where they lie. Call `close` in the end."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._folder: Path | None = None
        self._count = 0
        self._here: list[Path] = []
        self._busy = False

    async def take(self, name: str, length: int | None, parts: AsyncIterator[bytes]) -> Path:
        """Write a file that comes in `parts`; `length` is what its sender says, in bytes. Return its path.

        Raises `UsageError` where it is too large or another one is on its way, `OutputError` for a disk that
        is full, `InputFileError` for one that ends before its time.
        """
        if self._busy:
            raise UsageError("another file is on its way; wait for it")
        if length is None or not 0 < length <= self.most_bytes:
            raise UsageError(f"a file of 1 byte to {self.most_bytes >> 20} MiB")
        self._busy = True
        try:
            return await self._write(name, length, parts)
        finally:
            self._busy = False

    def close(self) -> None:
        """Remove all of them."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _write(self, name: str, length: int, parts: AsyncIterator[bytes]) -> Path:
        try:
            self._folder = self._folder or Path(tempfile.mkdtemp(prefix="rtsep-page-"))
            if shutil.disk_usage(self._folder).free < length + SPARE_BYTES:
                raise OutputError("the disk has no room for this file")
            self._count += 1
            where = self._folder / str(self._count)
            where.mkdir()
        except OSError as error:
            raise OutputError(f"no place for the file: {error.strerror}") from None
        path = where / safe_name(name)
        come = 0
        try:
            with path.open("xb") as file:
                while True:
                    async with asyncio.timeout(PATIENCE_S):
                        part = await anext(parts, None)
                    if part is None:
                        break
                    come += len(part)
                    if come > length:
                        raise UsageError("the file is larger than its sender has said")
                    file.write(part)
            if come < length:
                raise InputFileError("the file has not come whole")
        except BaseException as error:
            shutil.rmtree(where, ignore_errors=True)
            if isinstance(error, TimeoutError):
                raise InputFileError("the file has stopped coming") from None
            if isinstance(error, OSError):
                raise OutputError(f"the file cannot be kept: {error.strerror}") from None
            raise
        self._here.append(path)
        return path

    def tidy(self, playing: str) -> None:
        """Remove older files than the newest ones, but for the one that is `playing`."""
        for path in self._here[:-_KEPT]:
            if str(path) != playing:
                self._here.remove(path)
                with contextlib.suppress(OSError):
                    shutil.rmtree(path.parent)


def safe_name(name: str) -> str:
    """Return a name of a file on the disk that is as close to `name` as is safe."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^\w .,+&()'#-]", "_", last).strip(" .")
    stem, dot, suffix = plain.rpartition(".")
    if not dot or not stem:
        return plain[:_LONGEST_NAME] or "file"
    return f"{stem[: _LONGEST_NAME - len(suffix[:8])]}.{suffix[:8]}"
