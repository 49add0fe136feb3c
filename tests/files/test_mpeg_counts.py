"""MP3 files with wrong counts, data behind the audio or holes: all sound, and no lines of libmpg123."""

from __future__ import annotations

import random
import re
import shutil
import struct

import pytest

from rtsep.errors import InputFileError
from rtsep.files.audiofile import MISSING_S, AudioReader
from tests.files.tones import RATE, read, tone

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


def junk(size: int) -> bytes:
    return random.Random(5).randbytes(size).replace(b"\xff", b"\xfe")


def ape(size: int) -> bytes:
    """Return an APE tag with a picture, and its header only at its end."""
    item = struct.pack("<II", size, 2) + b"Cover Art (Front)\0" + junk(size)
    return item + b"APETAGEX" + struct.pack("<IIII8x", 2000, len(item) + 32, 1, 0)


def with_count(mp3: bytes, frames: int) -> bytes:
    found = re.search(rb"(?:Xing|Info)\x00\x00\x00.", mp3, re.DOTALL)
    assert found
    return mp3[: found.end()] + struct.pack(">I", frames) + mp3[found.end() + 4 :]


@needs_ffmpeg
@pytest.mark.parametrize("frames", [0, 10, 60])
def test_a_count_that_is_too_small_hides_nothing(tmp_path, frames):
    path = tmp_path / "few.mp3"
    path.write_bytes(with_count(tone(tmp_path / "a.mp3", 440, 4), frames))
    sound, rate, said = read(path)
    assert said == ""
    assert len(sound) / rate == pytest.approx(4, abs=MISSING_S)


@pytest.mark.parametrize("frames", [0, 10, 60])
def test_without_ffmpeg_a_count_that_is_too_small_is_named(tmp_path, monkeypatch, frames):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    path = tmp_path / "few.mp3"
    path.write_bytes(with_count(tone(tmp_path / "a.mp3", 440, 4), frames))
    assert "there is more behind the end stated in its header; install ffmpeg" in read(path)[2]


@pytest.mark.parametrize(
    ("behind", "notes"),
    [(ape(60_000), 0), (bytes(50_000), 0), (b"LYRICSBEGIN" + junk(9000) + b"009011LYRICS200", 0),
     (b"<html>503</html>" * 400, 1), (junk(50_000), 1)],
    ids=["cover", "zeros", "lyrics", "html", "junk"],
)  # fmt: skip
def test_data_behind_the_audio_is_no_damage(tmp_path, capfd, behind, notes):
    path = tmp_path / "more.mp3"
    path.write_bytes(tone(tmp_path / "a.mp3", 440, 2) + behind)
    with AudioReader(path) as reader:
        assert len(reader.notes) == notes
        assert reader.length == 2 * RATE
    sound, _, said = read(path)
    assert (len(sound), said) == (2 * RATE, "")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "content",
    [b"<!DOCTYPE html><html>404 not found" * 1000, b"PK\3\4" + junk(90_000), bytes(200_000),
     b"\xff\x25\xc2\x2f\0\0\x0f\x1f\x40\0\x66\x90\x66\x90\x66\x90" * 500],
    ids=["html", "zip", "zeros", "program"],
)  # fmt: skip
def test_what_is_no_mp3_is_refused_without_lines_of_libmpg123(tmp_path, capfd, content):
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    with pytest.raises(InputFileError):
        AudioReader(path).close()
    assert capfd.readouterr().err == ""


@needs_ffmpeg
def test_a_hole_is_named_once(tmp_path, capfd):
    whole = tone(tmp_path / "a.mp3", 440, 10)
    path = tmp_path / "hole.mp3"
    begin = len(whole) // 2
    path.write_bytes(whole[:begin] + junk(5000) + whole[begin + 5000 :])
    sound, _, said = read(path)
    assert len(sound) > 8 * RATE
    assert "damaged (" in said
    assert capfd.readouterr().err == ""
