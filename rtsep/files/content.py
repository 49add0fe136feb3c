"""The bytes of an open file, read in windows of constant size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

_WINDOW = 1 << 20  # bytes
_AHEAD = 1 << 14  # bytes that a window has behind the start of each match, except at the end of the file


class Content:
    """Bytes of an open file.

    They are not mapped into memory: if another program cuts a mapped file, the system ends this process
    (SIGBUS).
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        """Use the first `size` bytes of `file`, which must stay open."""
        self._file, self.size = file, size
        self._begin, self._window = size, b""

    def read(self, at: int, count: int) -> bytes:
        """Return `count` bytes from position `at`, at most `_WINDOW`; fewer at the end of the file."""
        offset = at - self._begin
        is_last = len(self._window) < _WINDOW
        if offset < 0 or (offset + count > len(self._window) and not is_last):
            self._load(at)
            offset = 0
        return self._window[offset : offset + count]

    def positions(self, pattern: re.Pattern[bytes], begin: int = 0) -> Iterator[int]:
        """Yield the position of each match from `begin` on; a match has at most `_AHEAD` bytes."""
        is_last = False
        while not is_last:
            window = self._load(begin)
            is_last = len(window) < _WINDOW
            end = limit = len(window) if is_last else _WINDOW - _AHEAD
            for found in pattern.finditer(window):
                if found.start() >= limit:
                    break
                yield begin + found.start()
                end = max(limit, found.end())
            begin += end

    def _load(self, begin: int) -> bytes:
        self._file.seek(begin)
        self._begin = begin
        self._window = self._file.read(min(_WINDOW, max(0, self.size - begin)))
        return self._window
