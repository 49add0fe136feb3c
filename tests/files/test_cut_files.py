"""Files that were cut where no decoder complains: large ones, CAF, pages of Ogg, AVI."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time

import pytest

from rtsep.files import sndfile
from tests.files.test_headers import with_sizes
from tests.files.tones import RATE, read, tone

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


@pytest.mark.parametrize("size", [2_200_000_000, 3_000_000_000, 4_000_000_000])
def test_the_beginning_of_a_large_wav_is_named(tmp_path, size):
    path = tmp_path / "large.wav"
    path.write_bytes(with_sizes(tone(path, 440), size + 36, size))
    sound, _, said = read(path)
    assert len(sound) == RATE
    assert said == f"{path}: damaged (1.00 s of {size / 4 / RATE:.2f} s can be read)"


@pytest.mark.parametrize("data", [0x7FFF0000, 0x7FFFF000, 0x80000000, 0xFFFFFF00, 0xFFFFFFFF])
def test_placeholders_of_recorders_are_no_sizes(tmp_path, data):
    path = tmp_path / "recorded.wav"
    path.write_bytes(with_sizes(tone(path, 440), min(data + 36, 0xFFFFFFFF), data))
    sound, _, said = read(path)
    assert (len(sound), said) == (RATE, "")


@pytest.mark.parametrize("filler", ["\n", "ds64 : ", "\nds64 : \n"])
def test_text_of_a_strange_file_in_the_log_takes_no_time(filler):
    log = f"{sndfile._IS_OTHER}\n{filler * (32_000 // len(filler))}x\n  Data Size : 80 (should be 40)\n"
    began = time.thread_time()
    assert sndfile._stated_frames_of(log, 10) == 20
    assert time.thread_time() - began < 0.2


@pytest.mark.parametrize("frames", [1_500_000_000, 250_000_000_000_000])
def test_the_beginning_of_a_large_rf64_is_named_and_nothing_else(tmp_path, frames):
    path = tmp_path / "large.rf64"
    content = bytearray(tone(path, 440))
    assert content[12:16] == b"ds64"
    content[20:44] = struct.pack("<QQQ", frames * 4 + len(content), frames * 4, frames)
    path.write_bytes(content)
    sound, _, said = read(path)
    assert len(sound) == pytest.approx(RATE, abs=20)
    assert said == f"{path}: damaged (1.00 s of {frames / RATE:.2f} s can be read)"


@needs_ffmpeg
def test_a_cut_caf_is_named(tmp_path):
    path = tmp_path / "cut.caf"
    content = tone(path, 440, 4)
    path.write_bytes(content[: len(content) // 2])
    sound, rate, said = read(path)
    assert len(sound) / rate == pytest.approx(2, abs=0.1)
    assert "of 4.00 s can be read" in said
    path.write_bytes(content)
    assert read(path)[2] == ""


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
@pytest.mark.parametrize("ffmpeg", [True, False])
def test_an_ogg_that_ends_within_a_page_is_named(tmp_path, monkeypatch, suffix, ffmpeg):
    if not ffmpeg:
        monkeypatch.setattr(shutil, "which", lambda _name: None)
    path = tmp_path / f"cut{suffix}"
    content = tone(path, 440, 4, rate=48000)
    pages = content.rfind(b"OggS")
    for end in (pages + 10, pages + 100, len(content) - 1):
        path.write_bytes(content[:end])
        assert "it ends in the middle of a page" in read(path)[2]
    for whole in (content[:pages], content, content + bytes(1000)):
        path.write_bytes(whole)
        assert read(path)[2] == ""


@needs_ffmpeg
def test_a_cut_avi_is_named(tmp_path):
    tone(tmp_path / "a.wav", 440, 4)
    path = tmp_path / "a.avi"
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-c:a", "mp2", path], check=True)
    assert read(path)[2] == ""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    sound, rate, said = read(path)
    assert 1.5 < len(sound) / rate < 2.5
    assert "of 4." in said
