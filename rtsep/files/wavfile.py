"""A WAV file that is valid at every moment: a killed process leaves it readable, even beyond 4 GiB.

Samples are written after the end; then the sizes in the header are raised by one write of less than a page.
In between, the file has a tail that no size includes, which readers ignore. The header reserves space for a
`ds64` chunk; if a size exceeds 32 bits, RF64 replaces RIFF there and nothing moves (EBU Tech 3306).
libsndfile could write this too, but it does not report why a disk refuses, nor any failure at the close, and
it writes the time of day into such float files, although equal audio must give equal files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BITS = {"PCM_16": 16, "PCM_24": 24, "FLOAT": 32}
"""Sample formats, by libsndfile's names, and the bits of a sample."""

_PCM, _IEEE_FLOAT = 1, 3  # wFormatTag
_UNKNOWN = 0xFFFFFFFF  # value of a 32-bit size that ds64 replaces
HEADER_BYTES = 12 + 36 + 24 + 12 + 8  # RIFF, ds64, fmt, fact, data


def quantise(block: NDArray[np.float32], bits: int) -> NDArray[np.int32]:
    """Return samples [...] of full scale 1.0 as integers of `bits`: the nearest, ties to even, clipped.

    Full scale is 2 ** (bits - 1), as in readers, so the product is exact in float32 and samples from the same
    number of bits do not change. Each value is off by at most half a step: if a + b = c, the integers differ
    by at most one step.
    """
    scale = np.float32(2 ** (bits - 1))
    steps = np.rint(block * scale)
    return np.clip(steps, -scale, scale - np.float32(1)).astype(np.int32)


def encode(block: NDArray[np.float32], subtype: str) -> bytes:
    """Return samples [frames, channels] in the bytes of the file."""
    if subtype == "FLOAT":
        return block.astype("<f4").tobytes()
    steps = quantise(block, BITS[subtype])
    if subtype == "PCM_16":
        return steps.astype("<i2").tobytes()
    return np.ascontiguousarray(steps, "<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def make_header(rate: int, channels: int, subtype: str, frames: int) -> bytes:
    """Return the header [HEADER_BYTES] of a file of `frames` frames."""
    bits = BITS[subtype]
    frame_bytes = channels * bits // 8
    data = frames * frame_bytes
    riff = HEADER_BYTES - 8 + data + data % 2
    tag = _IEEE_FLOAT if subtype == "FLOAT" else _PCM
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, rate, rate * frame_bytes, frame_bytes, bits)
    if riff < _UNKNOWN:
        start = struct.pack("<4sI4s4sI28x", b"RIFF", riff, b"WAVE", b"JUNK", 28)
        sizes = (frames, data)
    else:
        start = struct.pack("<4sI4s", b"RF64", _UNKNOWN, b"WAVE")
        start += struct.pack("<4sIQQQI", b"ds64", 28, riff, data, frames, 0)
        sizes = (_UNKNOWN, _UNKNOWN)
    return start + form + struct.pack("<4sII4sI", b"fact", 4, sizes[0], b"data", sizes[1])


class WavFile:
    """One file that grows. Every method raises `OSError` where the disk refuses."""

    def __init__(self, path: Path, rate: int, channels: int, subtype: str, replace: bool) -> None:
        """Create `path`; one that is there is emptied where `replace`, else `FileExistsError`."""
        self.path = path
        self.frames = 0
        self._rate, self._channels, self._subtype = rate, channels, subtype
        self.frame_bytes = channels * BITS[subtype] // 8
        self._file = path.open("wb" if replace else "xb", buffering=0)
        self._has_links = self._links() > 0  # a file system may count none
        try:
            self.update_header()
        except OSError:
            self._file.close()
            path.unlink(missing_ok=True)
            raise

    def append(self, block: NDArray[np.float32]) -> None:
        """Write [frames, channels] behind the end; the header speaks of them after `update_header`."""
        self._write_at(HEADER_BYTES + self.frames * self.frame_bytes, encode(block, self._subtype))
        self.frames += len(block)

    def update_header(self) -> None:
        """Write the current length into the header. Raise an error also if the file was removed meanwhile."""
        if self._has_links and self._links() == 0:
            raise FileNotFoundError(errno.ENOENT, "the file was removed", str(self.path))
        self._write_at(0, make_header(self._rate, self._channels, self._subtype, self.frames))

    def cut(self, frames: int) -> None:
        """Keep only the first `frames` frames; this needs no disk space."""
        self.frames = frames
        self.update_header()
        self._file.truncate(HEADER_BYTES + frames * self.frame_bytes)

    def sync(self) -> None:
        """Flush written data through the system's caches to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Finish the file; it is closed even if an error is raised."""
        with self._file:
            end = HEADER_BYTES + self.frames * self.frame_bytes
            if end % 2:
                with contextlib.suppress(OSError):  # a byte that readers do not need, on a full disk
                    self._write_at(end, b"\0")
            self.update_header()
            self.sync()

    def abandon(self) -> None:
        """Close the file as it is, without errors."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _links(self) -> int:
        return os.fstat(self._file.fileno()).st_nlink

    def _write_at(self, position: int, content: bytes) -> None:
        self._file.seek(position)
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]  # a disk that fills up takes a part, then raises
