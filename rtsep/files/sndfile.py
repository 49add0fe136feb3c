"""Reading by libsndfile: a file, or its pieces one after another, in the format of the first."""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from rtsep.files.mpeg import begins_like_mpeg, is_named_mpeg
from rtsep.files.pieces import Piece, PieceFile, UnsizedAu
from rtsep.limits import HIGHEST_FILE_RATE, LOWEST_FILE_RATE

Block = NDArray[np.float32]

BLOCK = 8192  # constant: the last samples of libsndfile's Opus decoder depend on the block size
_RUN_UP = 32768  # frames
_UNREADABLE = (soundfile.LibsndfileError, OSError, ValueError)
_NOT_KNOWN = 2**63 - 1  # libsndfile's value for an unknown number of frames (SF_COUNT_MAX)
_STREAMED = ((0x7FFF0000, 0x80001000), (0xFFFF0000, 0x100001000), (1 << 62, 1 << 64))
"""Ranges of placeholders for a size that was unknown when the header was written."""

_STATED_SIZES = re.compile(
    r"^[ \t]*(data|SSND|Data Size|riff)[ \t]*: (\d{1,20}) \(should be (\d{1,20})\)", re.MULTILINE
)
_STATED_FRAMES = re.compile(r"^[ \t]*Frames[ \t]*: (\d{1,20})", re.MULTILINE)  # after _SIZES_64
_SIZES_64 = "ds64 : "
_IS_OTHER = "does not match value from 'ds64' chunk"  # the number behind it may have overflowed
_LOST = "Unknown chunk marker"
_BEYOND = "psf_fseek past end error"  # such a marker is then in the audio


class _Stream(soundfile.SoundFile):
    """File that is read from its beginning to its end.

    `soundfile` seeks after every block that it reads, although the file is already there. In an MP3 this
    resets the decoder, which then lacks the bits that earlier frames reserve for later ones: the audio after
    every block is wrong. In other formats it takes time.
    """

    def __init__(self, source: PieceFile | str | bytes) -> None:
        """Open a file object or a file name. Raise `OSError` or `soundfile.LibsndfileError`."""
        try:
            super().__init__(source)
        finally:
            self._check()

    def seekable(self) -> bool:
        """Return False, so that reading does not seek."""
        return False

    def block(self, frames: int) -> Block:
        """Return the next `frames` frames [frames, channels], fewer at the end. Raise as `__init__`."""
        try:
            block: Block = self.read(frames, dtype="float32", always_2d=True)
        finally:
            self._check()
        return block

    def _check(self) -> None:
        if isinstance(self.name, PieceFile):
            self.name.check()


def open_sound(file: BinaryIO, path: Path, end: int = 0) -> _Stream:
    """Open an audio file of which `file` is already open; its content decides, not its name.

    `end` is the first byte behind its audio if the rest must not be read; 0: read all. Raise `OSError` or
    `soundfile.LibsndfileError`.
    """
    whole = PieceFile(file, Piece(0, end or file.seek(0, os.SEEK_END)))
    if end:
        return _Stream(whole)
    if UnsizedAu.fits(file):
        return _Stream(UnsizedAu(file, Piece(0, file.seek(0, os.SEEK_END))))
    # By its name alone, libmpg123 would search audio in a file and print lines about each attempt.
    is_odd = is_named_mpeg(path) and not begins_like_mpeg(file)
    if not is_odd and path.suffix.lower() != ".raw":  # a name that `soundfile` refuses
        sound = _Stream(encoded(path))
        if sound.format != "RAW":
            return sound
        sound.close()  # for a name like x.au or x.vox, libsndfile takes any bytes for samples
    return _Stream(whole)


class SndfileDecoder:
    """Decodes a file: `rate`, `channels`, `frames` (None: unknown), `stated_frames`, `damage`.

    Pieces with other rates are resampled, a mono piece among stereo ones goes to both channels.
    """

    def __init__(self, file: BinaryIO, path: Path, pieces: tuple[Piece, ...] = (), end: int = 0) -> None:
        """Open `path`, or the first of `pieces` of `file`; raise `soundfile.LibsndfileError`.

        `end` is the first byte behind its audio if the rest must not be read; 0: read all.
        """
        self._file = file
        self._pieces = deque(pieces)
        self._damage: list[str] = []
        self._left: int | None = None  # frames left in the current piece; None: unknown
        self._ended = False  # the current piece has ended
        self._resampler: soxr.ResampleStream | None = None
        self.in_pieces = bool(pieces)
        self._sound: _Stream | None = (
            self._open_next() if pieces else self._begun(open_sound(file, path, end))
        )
        self.rate, self.channels = self._sound.samplerate, self._sound.channels
        self.format, self.subtype = self._sound.format, self._sound.subtype
        self.frames = None if self.in_pieces else _frames(self._sound)
        self.stated_frames = 0  # length by the file; 0: not stated, or only guessed by libsndfile
        self.log = str(self._sound.extra_info)
        if self.in_pieces:
            self._look_ahead()
        elif self.format != "MP3":
            self.stated_frames = _stated_frames_of(self.log, self.frames or 0)

    @property
    def is_lost(self) -> bool:
        """Return whether there are bytes after the end stated in the header."""
        return _LOST in self.log and _BEYOND not in self.log

    @property
    def damage(self) -> str:
        """Return what could not be decoded; "" for nothing."""
        return "; ".join(dict.fromkeys(self._damage))

    def decode(self) -> Block:
        """Return the next block [frames, channels]; an empty one is the end."""
        while self._sound is not None:
            block = self._decode_piece()
            if (self._ended and not self._next_piece()) or len(block):
                return block
        return np.zeros((0, self.channels), np.float32)

    @property
    def seeks(self) -> bool:
        """Return whether `seek` is possible."""
        return not self.in_pieces and self._sound is not None and self.frames is not None and not self._damage

    def seek(self, frame: int) -> int | None:
        """Go to `frame` or before it; return the start of the next block, None if that is impossible."""
        if not self.seeks:
            return None
        assert self._sound and self.frames is not None
        # For some distance after a seek, decoders of such formats lack earlier data.
        begin = min(frame, self.frames) - (_RUN_UP if self.format in ("MP3", "OGG") else 0)
        begin = max(0, begin)
        try:
            self._sound.seek(begin)
        except (soundfile.LibsndfileError, OSError):
            return None
        if self._left is not None:
            self._left = self.frames - begin
        self._ended = False
        return begin

    def close(self) -> None:
        """Close what is open, except the file itself."""
        if self._sound is not None:
            self._sound.close()
            self._sound = None

    # --- internal ----------------------------------------------------------------------------------------

    def _begun(self, sound: _Stream) -> _Stream:
        # After the stated end, libsndfile may decode data that does not belong to the file.
        self._left = None if sound.format == "MP3" else _frames(sound)
        self._ended = False
        return sound

    def _open_next(self) -> _Stream:
        """Open the next readable piece; raise the error of the last one if none is."""
        while True:
            piece = self._pieces.popleft()
            try:
                return self._begun(self._opened(piece))
            except _UNREADABLE as error:
                self._damage.append(f"a part of it cannot be read: {reason(error)}")
                if not self._pieces:
                    raise

    def _opened(self, piece: Piece) -> _Stream:
        """Open a piece. Raise one of `_UNREADABLE`, also for a rate that no file has."""
        sound = _Stream(PieceFile(self._file, piece))
        if not LOWEST_FILE_RATE <= sound.samplerate <= HIGHEST_FILE_RATE:
            sound.close()
            raise ValueError(f"a sample rate of {sound.samplerate} Hz")
        return sound

    def _look_ahead(self) -> None:
        """Set the channels to the maximum of all pieces, and the length to their sum."""
        seconds, known = self._left_seconds(self._sound), True
        for piece in self._pieces:
            try:
                with self._opened(piece) as sound:
                    self.channels = max(self.channels, sound.channels)
                    known = known and _frames(sound) is not None
                    seconds += self._left_seconds(sound)
            except _UNREADABLE:
                continue  # it is reported when it is reached
        self.frames = round(seconds * self.rate) if known else None

    @staticmethod
    def _left_seconds(sound: soundfile.SoundFile) -> float:
        return (_frames(sound) or 0) / max(1, sound.samplerate)

    def _decode_piece(self) -> Block:
        """Return a block of the current piece, in the format of the first; note the end of the piece."""
        assert self._sound
        wanted = BLOCK
        if self._sound.samplerate < self.rate:  # a block becomes longer when it is resampled
            wanted = max(1, BLOCK * self._sound.samplerate // self.rate)
        if self._left is not None:
            wanted = min(wanted, self._left)
        try:
            block = self._sound.block(wanted)
        except (soundfile.LibsndfileError, OSError) as error:
            self._damage.append(reason(error))
            block = np.zeros((0, self._sound.channels), np.float32)
        self._ended = len(block) == 0
        if self._left is not None:
            self._left -= len(block)
        block = with_channels(block, self.channels)
        if self._sound.samplerate != self.rate:
            if self._resampler is None:
                self._resampler = soxr.ResampleStream(
                    self._sound.samplerate, self.rate, self.channels, dtype="float32", quality="VHQ"
                )
            block = self._resampler.resample_chunk(np.ascontiguousarray(block), self._ended)
        return block

    def _next_piece(self) -> bool:
        """Open the next piece, if any; a file with one piece stays open, so that it can be searched."""
        if not self.in_pieces:
            return False
        assert self._sound
        self._sound.close()
        self._sound, self._resampler = None, None
        if self._pieces:
            try:
                self._sound = self._open_next()
            except _UNREADABLE:
                return False  # already reported
        return self._sound is not None


def _frames(sound: soundfile.SoundFile) -> int | None:
    return sound.frames if 0 <= sound.frames < _NOT_KNOWN else None


def _stated_frames_of(log: str, frames: int) -> int:
    """Return the frames stated in a header, by the log of libsndfile, which itself reports `frames`."""
    stated_frames = frames
    for _, stated, there in _STATED_SIZES.findall(log):
        streamed = any(first <= int(stated) < last and int(there) < first // 2 for first, last in _STREAMED)
        if int(stated) > int(there) > 0 and not streamed:
            stated_frames = max(stated_frames, round(frames * int(stated) / int(there)))
    place = log.find(_SIZES_64)
    found = _STATED_FRAMES.search(log, place) if _IS_OTHER in log and place >= 0 else None
    return max(stated_frames, int(found[1])) if found else stated_frames


def encoded(path: Path) -> str | bytes:
    """Return a file name for `soundfile`: bytes, since it may not be UTF-8.

    On Windows every name is text.
    """
    return str(path) if sys.platform == "win32" else os.fsencode(path)


def brief_look(path: Path) -> tuple[int, int, int] | None:
    """Return rate, channels and frames (0 if unknown) by a file's header, None if it does not open."""
    try:
        if not path.is_file():  # a pipe would wait for a writer
            return None
        with path.open("rb") as file, open_sound(file, path) as about:
            return about.samplerate, about.channels, _frames(about) or 0
    except (OSError, ValueError, RuntimeError):
        return None


def with_channels(block: Block, channels: int) -> Block:
    """Return `block` [frames, any] with this number of channels: mono fills two, others are silent."""
    has = block.shape[1]
    if has == channels:
        return block
    out = np.zeros((len(block), channels), np.float32)
    if has == 1:
        out[:, :2] = block
    else:
        out[:, : min(has, channels)] = block[:, : min(has, channels)]
    return out


def reason(error: Exception) -> str:
    """Return libsndfile's message without the name of the file."""
    text = str(getattr(error, "error_string", "") or getattr(error, "strerror", "") or error)
    return text.removeprefix("Error : ").strip().rstrip(".")
