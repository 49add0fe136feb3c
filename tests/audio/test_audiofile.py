"""Files that one decoder gives up on and another reads."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audiofile import AudioReader
from rtsep.errors import InputFileError

RATE = 48000


def _ogg_checksum(page: bytes) -> int:
    # RFC 3533: CRC-32 of 0x04c11db7, neither reflected nor inverted.
    remainder = 0
    for byte in page:
        remainder ^= byte << 24
        for _ in range(8):
            remainder = (remainder << 1) ^ (0x104C11DB7 if remainder & 0x80000000 else 0)
    return remainder


@pytest.fixture
def gap(tmp_path) -> Path:
    """An Opus file whose clock jumps back by 10 ms on its way, as after a gap in an encoder's input."""
    path = tmp_path / "gap.opus"
    rng = np.random.default_rng(1)
    soundfile.write(path, 0.1 * rng.standard_normal((5 * RATE, 2)), RATE, format="OGG", subtype="OPUS")
    content, place, number = bytearray(path.read_bytes()), 0, 0
    while place < len(content):
        lacing = content[place + 26]
        size = 27 + lacing + sum(content[place + 27 : place + 27 + lacing])
        if number >= 4:  # after two pages of header and two of sound
            (granule,) = struct.unpack_from("<q", content, place + 6)
            struct.pack_into("<q", content, place + 6, granule - 480)
            struct.pack_into("<I", content, place + 22, 0)
            struct.pack_into("<I", content, place + 22, _ogg_checksum(content[place : place + size]))
        place, number = place + size, number + 1
    path.write_bytes(content)
    return path


def _whole(path: Path) -> np.ndarray:
    with AudioReader(path) as reader:
        blocks = []
        while len(block := reader.read(4096)):
            blocks.append(block)
    return np.concatenate(blocks)


def test_opus_that_libsndfile_gives_up_on_is_read_by_ffmpeg(gap):
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(gap)
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg here")
    sound = _whole(gap)
    assert abs(len(sound) - 5 * RATE) <= 960
    levels = np.sqrt(np.square(sound[: 4 * RATE]).reshape(40, -1).mean(1))
    assert levels.min() > 0.05, "no hole anywhere"


def test_without_ffmpeg_the_line_names_it(gap, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(InputFileError, match=r"gap\.opus: damaged .*; install ffmpeg"):
        _whole(gap)
