"""Length of a CAF file by its header: libsndfile refuses a cut one, and ffmpeg reads it without a message."""

from __future__ import annotations

import struct
from typing import BinaryIO

_HEAD = struct.Struct(">4sq")  # kind and size of a chunk
_FORMAT = struct.Struct(">d4sIII")  # rate in Hz, kind, flags, bytes and frames in a packet
_EDIT_COUNT = 4  # bytes before the audio
_MAX_CHUNKS = 1000


def stated_frames(file: BinaryIO, size: int) -> int:
    """Return the frames of a cut CAF file of `size` bytes; 0: another format, complete, or unknown."""
    file.seek(0)
    if file.read(4) != b"caff":
        return 0
    at, packet = 8, (0, 0)
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return 0
        kind, length = _HEAD.unpack(head)
        at += _HEAD.size
        if kind == b"desc":
            form = file.read(_FORMAT.size)
            if len(form) == _FORMAT.size:
                packet = _FORMAT.unpack(form)[3:]
        if kind == b"data":
            bytes_in_it, frames_in_it = packet
            cut = length > 0 and at + length > size and bytes_in_it > 0
            return (length - _EDIT_COUNT) // bytes_in_it * frames_in_it if cut else 0
        if length < 0:
            return 0
        at += length
    return 0
