"""Files dropped on a page: one at a time, limited, in a private folder that is removed with the server."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from rtsep.errors import InputFileError, OutputError, UsageError
from rtsep.surfaces.page.upload_folder import UploadFolder, remove_orphans

MAX_BYTES = 1 << 30
SPARE_BYTES = 1 << 28
"""Disk space that must stay free, in bytes."""

PATIENCE_S = 20.0
"""Time limit for the next part of a file, in seconds."""

_MAX_NAME = 80
_KEPT = 2  # the file that plays, and the next one


class Uploads:
    """Folder of the uploaded files. Call `close` at the end."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._folder: UploadFolder | None = None
        remove_orphans()
        self._count = 0
        self._here: list[Path] = []
        self._busy = False

    async def take(self, name: str, length: int | None, parts: AsyncIterator[bytes]) -> Path:
        """Write a file that arrives in `parts`; `length` is the sender's value in bytes. Return its path.

        Raise `UsageError` if it is too large or another one is in progress, `OutputError` for a full disk,
        `InputFileError` for an incomplete file.
        """
        if self._busy:
            raise UsageError("another file is on its way; wait for it")
        if length is None or not 0 < length <= self.max_bytes:
            raise UsageError(f"a file of 1 byte to {self.max_bytes >> 20} MiB")
        self._busy = True
        try:
            return await self._write(name, length, parts)
        finally:
            self._busy = False

    def close(self) -> None:
        """Remove all of them."""
        if self._folder:
            self._folder.close()
            self._folder = None

    async def _write(self, name: str, length: int, parts: AsyncIterator[bytes]) -> Path:
        try:
            if self._folder and not self._folder.is_there:  # a cleaner of old temporary files removed it
                self.close()
            self._folder = self._folder or UploadFolder()
            if shutil.disk_usage(self._folder.path).free < length + SPARE_BYTES:
                raise OutputError("the disk has no room for this file")
            self._count += 1
            where = self._folder.path / str(self._count)
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
                        raise UsageError("the file is larger than its sender has stated")
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
        """Remove all files except the newest ones and the one that is `playing`."""
        for path in self._here[:-_KEPT]:
            if str(path) != playing:
                self._here.remove(path)
                with contextlib.suppress(OSError):
                    shutil.rmtree(path.parent)


def safe_name(name: str) -> str:
    """Return a safe file name as similar to `name` as possible."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^\w .,+&()'#-]", "_", last).strip(" .")
    stem, dot, suffix = plain.rpartition(".")
    if not dot or not stem:
        return plain[:_MAX_NAME] or "file"
    return f"{stem[: _MAX_NAME - len(suffix[:8])]}.{suffix[:8]}"
