"""Counts of an MP3: frames stated in its header, frames that it contains, and data behind them.

It reads only the headers of frames: about 0.2 s for an hour of audio.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rtsep.files.content import Content

_ID3_HEAD = 10  # bytes
_HEAD = 4  # bytes of a frame's header
_TAG = re.compile(rb"ID3[\x02-\x04]\x00|APETAGEX|TAG[\x00\x20-\x7f]{3}")
_TAG_BEGINS = (b"ID3", b"APETAGEX", b"TAG", b"LYRICSBEGIN")
_XING = re.compile(rb"(?:Xing|Info)\x00\x00\x00([\x00-\x0f])")
_XING_WITHIN = 2048  # bytes after the tag
_SIDES = (32, 17, 9)  # bytes between a frame's header and that header, by version and channels
_PADDING = 2304  # most frames that encoders add around the audio
_SLACK_BYTES = 2048  # bytes more or less than an MP3 states: rounding, a tag at its end
_SLACK_COUNT = 8  # frames of MPEG audio more or less than stated: 0.2 s

_SYNC = re.compile(rb"\xff[\xe2-\xff]")
_IN_A_ROW = 3  # headers one frame apart: random data has no such row
_LEADING = 1 << 17  # bytes: libmpg123 searches the first frame in half of them
_LAYER_1 = 6  # bits of a header; programs contain rows of bytes that look like it
_KBITS = {  # by MPEG-1 or a later version, and layer; index 1 to 14
    (True, 1): range(32, 449, 32),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


class Mpeg(NamedTuple):
    """Counts of an MP3 whose header states them, or of one with audio behind its first end."""

    frames: int  # samples per channel, without padding; 0: not stated
    is_short: bool  # there is less than stated, or a part that is no audio
    is_long: bool  # there is more audio than stated
    tags: int = 0  # most tags between joined files, which decoders take for damaged frames
    has_junk: bool = False  # data behind the audio that is neither audio nor a tag
    end: int = 0  # the first byte behind the audio if much follows that is none; else 0


def count_mpeg(file: BinaryIO, size: int) -> Mpeg | None:
    """Return the counts of an open file of `size` bytes; None: no MP3, or one in one part without counts."""
    begin = _behind_tag(file)
    file.seek(begin)
    head = file.read(_XING_WITHIN)
    if not _SYNC.match(head) and not _XING.search(head):
        return None
    return _counts(Content(file, size), begin)


def begins_like_mpeg(file: BinaryIO) -> bool:
    """Return whether MPEG audio begins near the beginning of an open file, behind its tag."""
    begin = _behind_tag(file)
    return _has_audio(Content(file, begin + _LEADING), begin)


def is_named_mpeg(path: Path) -> bool:
    """Return whether libsndfile takes a file of unknown content for MPEG audio, because of its name."""
    return path.suffix.lower() in (".mp1", ".mp2", ".mp3", ".m1a", ".m2a")


def _counts(content: Content, begin: int) -> Mpeg | None:
    head, size = content.read(begin, _XING_WITHIN), content.size
    found = _XING.search(head)
    starts = [found.start() - 4 - side for side in _SIDES if found.start() >= 4 + side] if found else []
    # layer III
    sync = next((at for at in starts if head[at] == 0xFF and head[at + 1] & 0xE6 == 0xE2), None)
    there, end = _walk(content, begin + (sync or 0))
    goes_on = there > 0 and _has_audio(content, end)
    tags = sum(1 for _ in content.positions(_TAG)) if goes_on else 0
    if found is None or sync is None:
        return Mpeg(0, is_short=False, is_long=True, tags=tags) if goes_on else None
    of_one = 1152 if head[sync + 1] & 0x18 == 0x18 else 576
    flags, position = found[1][0], found.end()
    count = int.from_bytes(head[position : position + 4], "big") if flags & 1 else None
    position += 4 * (flags & 1)
    stated_bytes = int.from_bytes(head[position : position + 4], "big") if flags & 2 else 0
    bytes_there = size - begin - sync
    has_more_bytes = bool(stated_bytes) and bytes_there > stated_bytes + _SLACK_BYTES
    # The first frame contains the counts, not audio.
    has_more = count is not None and there - 1 > count + _SLACK_COUNT
    is_beyond = has_more_bytes and end > begin + sync + stated_bytes + _SLACK_BYTES
    is_long = has_more or is_beyond or (has_more_bytes and (goes_on or there == 0))
    return Mpeg(
        max(0, (count or 0) * of_one - _PADDING),
        is_short=(bool(stated_bytes) and bytes_there < stated_bytes - _SLACK_BYTES) or goes_on,
        is_long=is_long,
        tags=tags,
        has_junk=there > 0 and not goes_on and _is_junk(content, end),
        end=end if there and not goes_on and size - end > _SLACK_BYTES else 0,
    )


def _behind_tag(file: BinaryIO) -> int:
    """Return the position behind the ID3 tag at the beginning of an open file; 0 without one."""
    file.seek(0)
    head = file.read(_ID3_HEAD)
    if head[:3] != b"ID3" or len(head) < _ID3_HEAD:
        return 0
    return _ID3_HEAD + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))


@functools.cache
def _length(second: int, third: int) -> int:
    """Return the bytes of a frame by two bytes of its header; 0: no header, or a free bit rate."""
    version, layer = second >> 3 & 3, 4 - (second >> 1 & 3)
    kbits, rate = third >> 4, third >> 2 & 3
    if second < 0xE0 or version == 1 or layer == 4 or not 1 <= kbits <= 14 or rate == 3:
        return 0
    hz = (44100, 48000, 32000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    bits = 1000 * _KBITS[version == 3, layer][kbits - 1]
    padding = third >> 1 & 1
    if layer == 1:
        return (12 * bits // hz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // hz + padding


def _walk(content: Content, at: int) -> tuple[int, int]:
    """Return the number of frames in a row from position `at`, and the position behind them."""
    count = 0
    while len(head := content.read(at, _HEAD)) == _HEAD and head[0] == 0xFF:
        length = _length(head[1], head[2])
        if length == 0:
            break
        count, at = count + 1, at + length
    return count, at


def _has_audio(content: Content, begin: int) -> bool:
    """Return whether frames of one kind follow each other anywhere behind position `begin`."""
    for at in content.positions(_SYNC, begin):
        kind = None
        for _ in range(_IN_A_ROW):
            head = content.read(at, _HEAD - 1)
            if len(head) < _HEAD - 1 or head[0] != 0xFF:
                break
            length = _length(head[1], head[2])
            this = (head[1] & 0xFE, head[2] & 0x0C)
            if length == 0 or this != (kind or this) or this[0] & 6 == _LAYER_1:
                break
            at, kind = at + length, this
        else:
            return True
    return False


def _is_junk(content: Content, end: int) -> bool:
    """Return whether the data from `end` on is neither a tag nor zeros."""
    rest = content.read(end, _SLACK_BYTES)
    # An APE tag may have its header only at its end.
    last = content.read(max(0, content.size - _SLACK_BYTES), _SLACK_BYTES) if end < content.size else b""
    return bool(rest.strip(b"\0")) and not rest.startswith(_TAG_BEGINS) and b"APETAGEX" not in last
