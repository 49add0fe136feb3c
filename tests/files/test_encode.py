"""Stems in other formats than WAV: every number of channels and rate, or one line at once."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import OutputError
from rtsep.files import encode as encoding
from rtsep.files.encode import MAX_TAG_BYTES, check_sound, encode, tags_of

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


def decoded(path: Path, channels: int) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-"]
    out = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(out, np.float32).reshape(-1, channels)


@needs_ffmpeg
@pytest.mark.parametrize("channels", range(1, 9))
def test_opus_keeps_each_channel_in_its_place(tmp_path, channels):
    wav, opus = tmp_path / "stem.wav", tmp_path / "stem.opus"
    time_s = np.arange(48000) / 48000
    hz = 400 * (1 + np.arange(channels))
    if channels in (6, 7, 8):
        hz[3] = 60  # the channel of low frequencies
    soundfile.write(wav, 0.2 * np.sin(2 * np.pi * hz * time_s[:, None]), 48000, subtype="PCM_24")
    check_sound("opus", wav, channels, 48000)
    encode(wav, opus, wav, "PCM_24")
    spectrum = np.abs(np.fft.rfft(decoded(opus, channels)[:48000], axis=0))
    np.testing.assert_allclose(spectrum.argmax(0), hz, atol=2)


@pytest.mark.parametrize("form", ["flac", "opus"])
def test_more_than_eight_channels_are_refused(form):
    check_sound(form, Path("song"), 8, 48000)
    with pytest.raises(OutputError, match=rf"9 channels, but {form} supports at most 8; use --format wav"):
        check_sound(form, Path("song"), 9, 48000)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("rate", "accepted"),
    [(1000, True), (44101, True), (65534, True), (65537, False), (88210, True), (655340, True),
     (655350, False), (768000, False), (1536000, False)],
)  # fmt: skip
def test_rates_of_flac_are_those_that_ffmpeg_writes(tmp_path, rate, accepted):
    wav, flac = tmp_path / "stem.wav", tmp_path / "stem.flac"
    soundfile.write(wav, np.zeros((500, 1)), rate, subtype="PCM_24")
    if accepted:
        check_sound("flac", wav, 1, rate)
        encode(wav, flac, wav, "PCM_24")
    else:
        with pytest.raises(OutputError, match=rf"sample rate of {rate} Hz; use --format wav"):
            check_sound("flac", wav, 1, rate)
        with pytest.raises(OutputError):
            encode(wav, flac, wav, "PCM_24")


ODD_TAGS = {
    "album": "one\ntwo\n\n[STREAM]\ntitle=other\n;no\n#no\n",
    "a;b#c\\d": "= ; # \\ \\n \\\n",
    "[chapter]": "in brackets",
    "comment": " both sides\t",
    "artist": "a backslash at the end is left out\\",
    "title": "[CHAPTER]",
    "credits": "written on Windows\r\nsecond line\r\n\r\nend",
    "mood": "a\rb",
}


@pytest.fixture
def stem(tmp_path) -> Path:
    soundfile.write(tmp_path / "stem.wav", np.zeros((4800, 1)), 48000, subtype="PCM_24")
    return tmp_path / "stem.wav"


@needs_ffmpeg
@pytest.mark.parametrize("form", ["flac", "mp3", "opus"])
def test_long_and_odd_tags_survive(stem, monkeypatch, form):
    tags = {"lyrics": "ä=b;c#\\d\n" * 30_000, **ODD_TAGS}  # longer than the system takes as an argument
    monkeypatch.setattr(encoding, "tags_of", lambda song: tags | {"nul": "a\0b", "": "no name"})
    target = stem.with_suffix(f".{form}")
    assert encode(stem, target, stem, "PCM_24") == ""
    found = tags_of(target)
    expected = {name.lstrip("["): text.rstrip("\\") for name, text in tags.items()} | {"nul": "ab"}
    if form == "mp3":
        lyrics = next(name for name in found if name.startswith("lyrics"))
        found = {"lyrics": found.pop(lyrics)} | found
    assert found == expected


@needs_ffmpeg
def test_tags_beyond_the_limit_are_left_out_with_a_line(stem, monkeypatch):
    huge = {"lyrics": "a" * MAX_TAG_BYTES, "title": "One", "artist": "Two"}
    monkeypatch.setattr(encoding, "tags_of", lambda song: huge)
    target = stem.with_suffix(".flac")
    assert "lack its largest tags ('lyrics')" in encode(stem, target, stem, "PCM_24")
    assert tags_of(target) == {"title": "One", "artist": "Two"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("form", ["flac", "mp3", "opus"])
@pytest.mark.parametrize("ffmpeg", [pytest.param(True, marks=needs_ffmpeg), False])
def test_a_full_disk_is_an_error_even_at_the_last_byte(stem, monkeypatch, form, ffmpeg):
    if not ffmpeg:
        if form != "flac":
            pytest.skip("ffmpeg encodes it")
        monkeypatch.setattr(shutil, "which", lambda _name: None)
    target = stem.with_suffix(f".{form}")
    target.symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"stem.* cannot"):
        encode(stem, target, stem, "PCM_24")
    assert not target.is_symlink()


def test_a_program_that_cannot_be_started_is_one_line_with_the_remedy(stem, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(OutputError, match=r"cannot be encoded \(.*raise the limit of processes"):
        encode(stem, stem.with_suffix(".flac"), stem, "PCM_24")
    assert not stem.with_suffix(".flac").exists()
