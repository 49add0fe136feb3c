"""Files that one decoder gives up on and another reads, that are damaged, that have odd names."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.controls import Controls
from rtsep.errors import InputFileError
from rtsep.files.audiofile import MISSING_S, AudioReader
from rtsep.offline.file_mode import separate_file
from tests.models import PlainModel

RATE = 48000
SECONDS = 5

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")

FORMATS = {
    "a.m4a": ("-c:a", "aac", "-movflags", "+faststart"),
    "end.m4a": ("-c:a", "aac"),
    "pieces.m4a": ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "1000000"),
    "lossless.m4a": ("-c:a", "alac"),
    "a.mov": ("-c:a", "aac"),
    "a.aac": ("-c:a", "aac"),
    "a.mp3": ("-c:a", "libmp3lame"),
    "bare.mp3": ("-c:a", "libmp3lame", "-b:a", "128k", "-write_xing", "0"),
    "a.opus": ("-c:a", "libopus"),
    "a.webm": ("-c:a", "libopus"),
    "a.ogg": ("-c:a", "libvorbis"),
    "a.wma": ("-c:a", "wmav2"),
    "a.mka": ("-c:a", "aac"),
    "a.wv": ("-c:a", "wavpack"),
    "a.ac3": ("-c:a", "ac3"),
    "a.flac": ("-c:a", "flac"),
    "a.aiff": (),
}


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


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """Makes a file of noise in a format of `FORMATS`."""
    folder = tmp_path_factory.mktemp("encoded")
    wav = folder / "noise.wav"
    soundfile.write(wav, 0.1 * np.random.default_rng(2).standard_normal((SECONDS * RATE, 2)), RATE)

    def make(name: str) -> Path:
        path = folder / name
        if not path.exists():
            command = ["ffmpeg", "-v", "error", "-nostdin", "-i", wav, *FORMATS[name], path]
            if subprocess.run(command).returncode:
                pytest.skip(f"this ffmpeg writes no {name}")
        return path

    return make


def _all_of(path: Path) -> tuple[int, str]:
    """Return how many frames are read, in blocks that divide none of a decoder's, and how that ends."""
    frames = 0
    with AudioReader(path) as reader:
        try:
            while len(block := reader.read(1000)):
                frames += len(block)
        except InputFileError as error:
            with pytest.raises(InputFileError):
                reader.read(1000)
            return frames, str(error)
    return frames, ""


@needs_ffmpeg
@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_is_read_to_its_end_without_a_word(encoded, name):
    frames, said = _all_of(encoded(name))
    assert said == ""
    assert abs(frames - SECONDS * RATE) < MISSING_S * RATE


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _hole(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes(9000) + content[len(content) // 2 + 9000 :]


SUBMITTED = "Error submitting packet to decoder"
"""The words of ffmpeg 7; those of ffmpeg 5 stand beside them."""


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "harm", "words"),
    [
        ("a.m4a", _cut, f"partial file|{SUBMITTED}"),
        ("a.m4a", _hole, "of 5.00 s can be read: "),
        ("lossless.m4a", _hole, rf"damaged \((Error while decoding|{SUBMITTED})"),
        ("a.opus", _hole, "of 5.00 s can be read: CRC mismatch"),
        ("a.ogg", _hole, "of 5.00 s can be read"),
        ("a.webm", _cut, "File ended prematurely"),
        ("a.flac", _cut, "lost sync"),
    ],
)
def test_what_is_left_of_a_damaged_file_is_read_and_then_it_is_said(encoded, tmp_path, name, harm, words):
    path = tmp_path / f"harmed-{name}"
    path.write_bytes(harm(encoded(name).read_bytes()))
    frames, said = _all_of(path)
    assert said.startswith(f"{path}: damaged (")
    assert re.search(words, said)
    assert "\n" not in said and " @ 0x" not in said
    assert 0.4 * SECONDS * RATE < frames < SECONDS * RATE


@needs_ffmpeg
def test_stems_are_made_of_what_can_be_read_of_a_damaged_file(encoded, tmp_path):
    path = tmp_path / "half.m4a"
    path.write_bytes(_cut(encoded("a.m4a").read_bytes()))
    result = separate_file(path, tmp_path / "out", PlainModel("half"), Controls())
    assert result.damage.startswith(f"{path}: damaged (")
    assert soundfile.info(result.stems["vocals"]).duration == pytest.approx(result.seconds)
    assert 0.4 * SECONDS < result.seconds < SECONDS


@needs_ffmpeg
def test_two_files_of_opus_in_one_are_whole(encoded, tmp_path):
    path = tmp_path / "chained.opus"
    path.write_bytes(2 * encoded("a.opus").read_bytes())
    frames, said = _all_of(path)
    assert said == ""
    assert frames == pytest.approx(2 * SECONDS * RATE, abs=MISSING_S * RATE)


@needs_ffmpeg
def test_what_is_wrong_with_a_picture_is_no_damage(encoded, tmp_path):
    picture, path = tmp_path / "cover.png", tmp_path / "cover.m4a"
    make = ["ffmpeg", "-v", "error", "-nostdin"]
    subprocess.run([*make, "-f", "lavfi", "-i", "testsrc=s=64x64", "-frames:v", "1", picture], check=True)
    cover = ["-i", picture, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v", "attached_pic"]
    subprocess.run([*make, "-i", encoded("a.m4a"), *cover, path], check=True)
    content, png = path.read_bytes(), picture.read_bytes()
    assert content.count(png) == 1
    path.write_bytes(content.replace(png, png[:40] + bytes(len(png) - 40)))
    said = subprocess.run(["ffprobe", "-v", "error", path], capture_output=True, check=True).stderr
    assert said, "a broken picture is complained about"
    assert _all_of(path)[1] == ""


@needs_ffmpeg
@pytest.mark.parametrize("name", ["Suite: one.m4a", "-one.m4a", "a%d b.m4a", "concat:x.m4a"])
def test_a_name_is_neither_a_protocol_nor_an_option(encoded, tmp_path, monkeypatch, name):
    shutil.copy(encoded("a.m4a"), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (Path(name), tmp_path / name):
        frames, said = _all_of(path)
        assert said == ""
        assert frames >= SECONDS * RATE
