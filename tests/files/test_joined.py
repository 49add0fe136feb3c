"""Files that hold several files: all of their sound is read in order, independent of the first header."""

from __future__ import annotations

import errno
import os
import re
import shutil
import struct
import subprocess
import time

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError
from rtsep.files import pieces
from rtsep.files.audiofile import MISSING_S, AudioReader
from rtsep.files.sndfile import SndfileDecoder
from rtsep.files.spool import Opened
from tests.files.tones import RATE, hz_of, read, tone

JOINED = (".ogg", ".mp3", ".flac", ".wav", ".aiff")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


def middle(sound: np.ndarray, rate: int, second: float) -> np.ndarray:
    """Return half a second around `second`."""
    return sound[round((second - 0.25) * rate) : round((second + 0.25) * rate)]


@pytest.mark.parametrize("suffix", JOINED)
@pytest.mark.parametrize("ffmpeg", [True, False])
def test_both_parts_come_with_and_without_ffmpeg(tmp_path, monkeypatch, suffix, ffmpeg):
    if not ffmpeg:
        monkeypatch.setattr(shutil, "which", lambda _name: None)
    if suffix == ".mp3" and shutil.which("ffmpeg") is None:
        pytest.skip("joined MP3 files are read by ffmpeg")
    path = tmp_path / f"both{suffix}"
    first = tone(tmp_path / f"a{suffix}", 440, 1)
    path.write_bytes(first + tone(tmp_path / f"b{suffix}", 880, 2))
    sound, rate, said = read(path)
    assert (said, rate) == ("", RATE)
    assert len(sound) == pytest.approx(3 * RATE, abs=0.1 * RATE)
    assert hz_of(middle(sound, rate, 0.5), rate) == pytest.approx(440, abs=3)
    assert hz_of(middle(sound, rate, 2.0), rate) == pytest.approx(880, abs=3)


@pytest.mark.parametrize("suffix", [".flac", ".wav", ".aiff"])
def test_a_join_of_lossless_files_loses_no_frame(tmp_path, suffix):
    rng = np.random.default_rng(4)
    path, parts = tmp_path / f"both{suffix}", []
    for number in range(3):
        part = tmp_path / f"{number}{suffix}"
        parts.append((rng.standard_normal((1000 + number, 2)) * 3000).astype(np.int16))
        soundfile.write(part, parts[-1], RATE, subtype="PCM_16")
    path.write_bytes(b"".join((tmp_path / f"{number}{suffix}").read_bytes() for number in range(3)))
    sound, _, said = read(path)
    assert said == ""
    np.testing.assert_array_equal(sound * 32768, np.concatenate(parts))


@needs_ffmpeg
@pytest.mark.parametrize("suffix", JOINED)
def test_a_mono_part_and_one_of_another_rate_go_along(tmp_path, suffix):
    path = tmp_path / f"both{suffix}"
    first = tone(tmp_path / f"a{suffix}", 440, 1, channels=1)
    path.write_bytes(first + tone(tmp_path / f"b{suffix}", 880, 1, channels=2, rate=48000))
    sound, rate, said = read(path)
    assert said == ""
    assert rate in ({RATE, 48000} if suffix == ".mp3" else {RATE})
    assert sound.shape[1] == 2
    assert len(sound) == pytest.approx(2 * rate, abs=0.1 * rate)
    assert hz_of(middle(sound, rate, 1.5), rate) == pytest.approx(880, abs=3)
    level = [np.sqrt(np.mean(middle(sound, rate, second) ** 2)) for second in (0.5, 1.5)]
    # ffmpeg spreads mono to two channels at equal power.
    wanted = level[1] * (np.sqrt(0.5) if suffix == ".mp3" else 1.0)
    assert level[0] == pytest.approx(wanted, rel=0.1), "mono goes to all channels at its level"


def test_a_part_of_a_low_rate_takes_little_memory_and_an_impossible_one_is_left_out(tmp_path):
    first = tone(tmp_path / "a.wav", 440, 0.1, rate=192_000)
    slow, bad = (tone(tmp_path / "b.wav", 0.1, 20_000 / rate, rate=rate) for rate in (1000, 1))
    path = tmp_path / "both.wav"
    path.write_bytes(first + slow + bad)
    blocks = []
    with AudioReader(path) as reader:
        assert reader.frames == pytest.approx(20.1 * 192_000, abs=2)
        while len(block := reader._decode()):
            blocks.append(len(block))
        with pytest.raises(InputFileError, match="a part of it cannot be read: a sample rate of 1 Hz"):
            reader.read(1)
    assert max(blocks) < 0.1 * sum(blocks)  # soxr has blocks of its own
    assert sum(blocks) == pytest.approx(20.1 * 192_000, abs=2)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_the_first_of_very_many_parts_are_read(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(pieces, "MAX_PIECES", 3)
    content, path = tone(tmp_path / f"a{suffix}", 440, 0.1), tmp_path / f"many{suffix}"
    path.write_bytes(3 * content)
    assert read(path)[2] == ""
    path.write_bytes(4 * content)
    sound, _, said = read(path)
    assert len(sound) == 3 * RATE // 10
    assert "more than 10000 files, of which the first ones are read" in said


class Failing:
    """An open file whose disk fails, or whose reader is interrupted."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def seek(self, *_: int) -> int:
        return 0

    def read(self, _: int) -> bytes:
        raise self._error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interrupt_while_a_part_is_read_is_not_its_end(tmp_path, capfd, error):
    path, content = tmp_path / "both.wav", tone(tmp_path / "a.wav", 440, 1)
    path.write_bytes(2 * content)
    with AudioReader(path) as reader:
        reader.read(10)
        reader._decoder._sound.name._file = Failing(error)
        with pytest.raises(type(error)):
            reader.read(RATE)
    with pytest.raises(type(error)):
        SndfileDecoder(Failing(error), path, (pieces.Piece(0, 100),))
    assert capfd.readouterr().err == ""


def test_a_disk_that_fails_is_named(tmp_path, monkeypatch, capfd):
    path, content = tmp_path / "both.wav", tone(tmp_path / "a.wav", 440, 1)
    path.write_bytes(2 * content)
    failing = Failing(OSError(errno.EIO, os.strerror(errno.EIO)))
    with AudioReader(path) as reader:
        reader.read(10)
        reader._decoder._sound.name._file = failing
        assert len(reader.read(3 * RATE)) < 2 * RATE
        with pytest.raises(InputFileError, match=r"both.wav: damaged \(Input/output error\)"):
            reader.read(1)
    opened = Opened(failing, path, 2 * len(content))
    monkeypatch.setattr(Failing, "close", lambda _: None, raising=False)
    with pytest.raises(InputFileError, match=r"both.wav: cannot be read \(Input/output error\)"):
        AudioReader(path, opened=opened)
    assert capfd.readouterr().err == ""


def test_parts_without_a_header_take_no_time(tmp_path):
    path = tmp_path / "many.wav"
    path.write_bytes((b"RIFF" + struct.pack("<I", 5) + b"WAVE" + b"x\0") * 1_000_000)
    with path.open("rb") as file:
        began = time.thread_time()
        found = pieces.pieces_of(file, path.stat().st_size)
    assert found == pieces.Pieces()
    assert time.thread_time() - began < 0.2


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".flac"])
@pytest.mark.parametrize("frames", [1000, 8192, 100_000])
def test_the_sound_does_not_depend_on_the_blocks_in_which_it_is_read(tmp_path, suffix, frames):
    path = tmp_path / f"a{suffix}"
    tone(path, 440, 2, channels=1)
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0]
    with AudioReader(path) as reader:
        blocks = []
        while len(block := reader.read(frames)):
            blocks.append(block)
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@needs_ffmpeg
def test_tags_between_joined_mp3_files_are_no_damage(tmp_path):
    one = tone(tmp_path / "a.mp3", 440, 1)
    id3 = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
    ape = b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0)
    path = tmp_path / "tagged.mp3"
    path.write_bytes(id3 + one + b"TAG" + bytes(125) + id3 + one + ape + b"TAG" + bytes(125) + bytes(5000))
    sound, _, said = read(path)
    assert said == ""
    assert len(sound) == pytest.approx(2 * RATE, abs=0.1 * RATE)


@needs_ffmpeg
def test_an_mp3_without_a_count_is_as_long_as_its_frames(tmp_path):
    quiet = tmp_path / "loud-then-silent.mp3"
    source = "aevalsrc=exprs='if(lt(t,2),0.4*random(0),0)':d=20:s=44100"  # bytes shrink: a guess falls short
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-ac", "2", "-c:a", "libmp3lame", "-q:a", "2",
         "-write_xing", "0", quiet], check=True,
    )  # fmt: skip
    assert soundfile.info(quiet).duration < 19, "libsndfile alone guesses, and stops there"
    sound, rate, said = read(quiet)
    assert said == ""
    assert len(sound) / rate == pytest.approx(20, abs=MISSING_S)


def test_without_ffmpeg_more_behind_the_end_of_an_mp3_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    path = tmp_path / "both.mp3"
    path.write_bytes(tone(tmp_path / "a.mp3", 440, 1) + tone(tmp_path / "b.mp3", 880, 2))
    sound, rate, said = read(path)
    assert hz_of(middle(sound, rate, 0.5), rate) == pytest.approx(440, abs=3)
    assert "there is more behind the end stated in its header; install ffmpeg" in said


@needs_ffmpeg
def test_an_mp3_that_holds_less_than_it_counts_is_said_to_be_cut(tmp_path, capfd):
    path = tmp_path / "cut.mp3"
    whole = tone(tmp_path / "whole.mp3", 440, 4)
    path.write_bytes(whole[: len(whole) // 2])
    sound, rate, said = read(path)
    assert 1.8 < len(sound) / rate < 2.1
    assert re.search(r"damaged \(1\.\d\d s of (3\.9|4\.0)\d s can be read\)", said), said
    assert "Xing" not in capfd.readouterr().err, "libmpg123 prints no warning of its own"


@needs_ffmpeg
def test_an_mp3_with_garbage_in_the_middle_is_read_on_both_sides(tmp_path):
    path = tmp_path / "hurt.mp3"
    whole = tone(tmp_path / "whole.mp3", 440, 4)
    half = len(whole) // 2
    path.write_bytes(whole[:half] + b"not an mp3 " * 400 + whole[half + 2000 :])
    sound, rate, said = read(path)
    assert len(sound) / rate > 3.5
    assert "damaged" in said


@needs_ffmpeg
@pytest.mark.parametrize("frames", [0, 10_000, 10_000_000])
def test_a_flac_whose_count_is_wrong_is_read_to_its_end(tmp_path, frames):
    path = tmp_path / "count.flac"
    content = bytearray(tone(path, 440, 1))
    place = 18  # the last 36 bits of these 8 bytes
    packed = int.from_bytes(content[place : place + 8], "big") >> 36 << 36 | frames
    content[place : place + 8] = packed.to_bytes(8, "big")
    path.write_bytes(content)
    sound, rate, said = read(path)
    assert len(sound) == RATE
    assert hz_of(sound, rate) == 440
    assert ("damaged" in said) == (frames > RATE)


def test_a_flac_of_unknown_length_joined_to_another_is_whole(tmp_path):
    content = bytearray(tone(tmp_path / "a.flac", 440, 1))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path = tmp_path / "both.flac"
    path.write_bytes(content + tone(tmp_path / "b.flac", 880, 1))
    sound, rate, said = read(path)
    assert (len(sound), said) == (2 * RATE, "")
    assert hz_of(sound[RATE:], rate) == 880


def test_a_radio_recording_that_begins_before_its_first_header_keeps_the_rest(tmp_path):
    first, second = tone(tmp_path / "a.ogg", 440, 3), tone(tmp_path / "b.ogg", 880, 2)
    middle_page = first.index(b"OggS", len(first) // 2)
    path = tmp_path / "radio.ogg"
    path.write_bytes(first[middle_page:] + second)
    sound, rate, said = read(path)
    assert len(sound) == pytest.approx(2 * RATE, abs=0.05 * RATE)
    assert hz_of(middle(sound, rate, 1), rate) == pytest.approx(880, abs=3)
    assert "begins in the middle" in said


@needs_ffmpeg
@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.1])
def test_a_short_ogg_of_any_encoder_is_whole(tmp_path, seconds):
    path = tmp_path / "short.ogg"
    rng = np.random.default_rng(1)
    soundfile.write(tmp_path / "a.wav", rng.uniform(-0.5, 0.5, (round(seconds * RATE), 2)), RATE)
    subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-i", tmp_path / "a.wav", "-c:a", "libvorbis", path], check=True
    )
    sound, _, said = read(path)
    assert (len(sound), said) == (round(seconds * RATE), "")


def test_an_ordinary_file_is_one_piece_and_opened_by_its_name(tmp_path):
    for suffix in (*JOINED, ".rf64", ".w64", ".caf"):
        path = tmp_path / f"plain{suffix}"
        tone(path, 440, 0.5)
        with AudioReader(path) as reader:
            assert reader._pieces.pieces == (), suffix
            assert reader.notes == []
            assert reader.frames == pytest.approx(RATE // 2, abs=1)


SOUGHT = [*JOINED, ".opus", "joined.ogg", "joined.mp3", "joined.flac"]


@needs_ffmpeg
@pytest.mark.parametrize("name", SOUGHT)
def test_after_a_seek_the_sound_is_what_it_is_in_the_whole_file(tmp_path, name):
    suffix = f".{name.split('.')[-1]}"
    rate = 48000 if suffix == ".opus" else RATE
    path = tmp_path / f"sought{suffix}"
    content = tone(path, 440, 1, rate=rate)
    if name.startswith("joined"):
        path.write_bytes(content + tone(tmp_path / f"b{suffix}", 880, 1, rate=rate))
    whole, _, _ = read(path)
    with AudioReader(path) as reader:
        reader.read(3000)
        for frame in (rate // 2, 100, len(whole) - 2000, 0):
            reader.seek(frame)
            got = reader.read(1500)
            np.testing.assert_allclose(
                got, whole[frame : frame + 1500], atol=2e-3 if suffix == ".mp3" else 1e-6
            )
        reader.seek(len(whole) + 10_000)
        assert len(reader.read(100)) == 0
        reader.seek(len(whole) - 50)
        assert len(reader.read(100)) == 50
