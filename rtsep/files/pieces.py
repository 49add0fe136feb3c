"""Files that contain several files: chained Ogg streams, joined FLAC, WAV and AIFF files.

libsndfile reads only the first one, or refuses them all. This module finds the beginnings of the others by
their signatures, in some ms and without another program. It decodes nothing.
"""

from __future__ import annotations

import io
import re
from itertools import islice
from typing import BinaryIO, NamedTuple

from rtsep.files.content import Content

_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_OGG = re.compile(rb"OggS\x00[\x02\x06]\x00{8}.{4}\x00{4}", re.DOTALL)  # the first page of a stream
_TOGETHER = 512  # bytes: first pages this close together begin at the same time
_PAGE_HEAD = 27  # bytes of an Ogg page before the list of lengths; the last one is its size
_MAX_PAGE = _PAGE_HEAD + 255 + 255 * 255
_LEAST = 30  # bytes of a WAV or AIFF file behind its length: names of formats and chunks
MAX_PIECES = 10_000

BEGINS_LATER = "it begins in the middle of a stream, which cannot be read without its first page"

ENDS_EARLIER = "it ends in the middle of a page"

TOO_MANY = f"it consists of more than {MAX_PIECES} files, of which the first ones are read"


class Piece(NamedTuple):
    """Byte range of one file among others: the first byte, and the first after it."""

    start: int
    end: int


class Pieces(NamedTuple):
    """All pieces of a file in order; empty if the file is one piece. `damage` is for the user."""

    pieces: tuple[Piece, ...] = ()
    damage: str = ""
    many: bool = False  # several streams run at the same time


def pieces_of(file: BinaryIO, size: int) -> Pieces:
    """Return the pieces of an open file of `size` bytes."""
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"OggS":
        return _by_signature(file, size, _OGG)
    if head[:4] == b"fLaC":
        return _by_signature(file, size, _FLAC)
    starts = [0]
    while len(starts) <= MAX_PIECES and (end := _chunk_end(head)) and starts[-1] + end + len(head) <= size:
        file.seek(starts[-1] + end)
        head = file.read(12)
        if not _chunk_end(head):
            break
        starts.append(starts[-1] + end)
    return _between(starts, size)


def _chunk_end(head: bytes) -> int:
    """Return the length of the WAV or AIFF file with this beginning; 0: another format, or not stated."""
    wav = head[:4] == b"RIFF" and head[8:12] == b"WAVE"
    if not wav and not (head[:4] == b"FORM" and head[8:11] == b"AIF"):
        return 0
    length = int.from_bytes(head[4:8], "little" if wav else "big")
    return 8 + length + length % 2 if length >= _LEAST else 0


def _by_signature(file: BinaryIO, size: int, signature: re.Pattern[bytes]) -> Pieces:
    places = list(islice(Content(file, size).positions(signature), MAX_PIECES + 1))
    if not places:
        return Pieces()
    starts = [position for before, position in zip([-_TOGETHER, *places], places, strict=False)
              if position - before >= _TOGETHER]  # fmt: skip
    damage = BEGINS_LATER if places[0] > 0 else ""
    if signature is _OGG and _ends_in_page(file, size):
        damage = f"{damage}; {ENDS_EARLIER}" if damage else ENDS_EARLIER
    return _between(starts, size, damage, many=len(starts) < len(places))


def _ends_in_page(file: BinaryIO, size: int) -> bool:
    """Return whether the last page of an Ogg file is longer than the file."""
    begin = max(0, size - _MAX_PAGE)
    file.seek(begin)
    content = file.read(_MAX_PAGE)
    at = content.rfind(b"OggS\0")
    if at < 0:
        return False
    head = content[at : at + _PAGE_HEAD]
    lengths = content[at + _PAGE_HEAD :][: head[-1]] if len(head) == _PAGE_HEAD else b""
    return begin + at + _PAGE_HEAD + len(lengths) + sum(lengths) > size


def _between(starts: list[int], size: int, damage: str = "", many: bool = False) -> Pieces:
    """Return the pieces that begin at `starts`, at most `MAX_PIECES`."""
    pieces = tuple(Piece(start, end) for start, end in zip(starts, [*starts[1:], size], strict=True))
    if len(pieces) > MAX_PIECES:
        damage = f"{damage}; {TOO_MANY}" if damage else TOO_MANY
    return Pieces(pieces[:MAX_PIECES] if starts != [0] else (), damage, many)


class PieceFile(io.RawIOBase):
    """File object for one `Piece`, for libsndfile."""

    def __init__(self, file: BinaryIO, piece: Piece) -> None:
        """Read `piece` of `file`, which must stay open."""
        super().__init__()
        self._file, self._piece, self._position = file, piece, 0
        self._failure: BaseException | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in the piece."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in the piece and return it."""
        whole = self._piece.end - self._piece.start
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: whole}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` from the piece and return the number of bytes; `check` raises its exceptions."""
        try:
            begin = self._piece.start + self._position
            self._file.seek(begin)
            content = self._file.read(max(0, min(len(buffer), self._piece.end - begin)))
            buffer[: len(content)] = content
            self._position += len(content)
            return len(content)
        except BaseException as error:  # lost in C code, which would go on
            self._failure = error
            return 0

    def check(self) -> None:
        """Raise the exception of an earlier read, such as an interrupt; libsndfile takes it for the end."""
        failure, self._failure = self._failure, None
        if failure:
            raise failure


class UnsizedAu(PieceFile):
    """AU file whose writer was killed before it wrote the size of the audio, for libsndfile.

    With a size of 0, libsndfile and ffmpeg 7 find no audio. This file object gives the size of a stream that
    continues to the end of the file.
    """

    _SIZE = slice(8, 12)

    @classmethod
    def fits(cls, file: BinaryIO) -> bool:
        """Return whether the open `file` is such a file."""
        file.seek(0)
        head = file.read(cls._SIZE.stop)
        return head[:4] == b".snd" and head[cls._SIZE] == bytes(4)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` with the corrected size and return the number of bytes."""
        begin = self.tell()
        count = super().readinto(buffer)
        first, behind = max(begin, self._SIZE.start), min(begin + count, self._SIZE.stop)
        if first < behind:  # 0xffffffff: unknown size
            buffer[first - begin : behind - begin] = b"\xff" * (behind - first)
        return count
