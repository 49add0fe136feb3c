"""Headers that tell less, more or other than the file holds; formats that no header may claim."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from rtsep.errors import InputFileError, NoSoundError
from rtsep.files.audiofile import AudioReader
from rtsep.files.sndfile import brief_look
from tests.files.tones import RATE, hz_of, read, tone


def with_sizes(content: bytes, riff: int, data: int) -> bytes:
    """Return a WAV file with these sizes in its header."""
    place = content.index(b"data")
    return b"".join(
        [content[:4], struct.pack("<I", riff), content[8 : place + 4], struct.pack("<I", data),
         content[place + 8 :]]
    )  # fmt: skip


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


@needs_ffmpeg
@pytest.mark.parametrize(
    ("riff", "data"), [(0, 0), (36, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFFFFF, 0x7FFFFFD3)]
)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_a_wav_whose_sizes_were_never_written_is_read_to_its_end(tmp_path, riff, data, subtype):
    path = tmp_path / "killed.wav"
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    soundfile.write(path, wave, RATE, subtype=subtype)
    before = soundfile.read(path, dtype="float32", always_2d=True)[0]
    path.write_bytes(with_sizes(path.read_bytes(), riff, data))
    sound, _, said = read(path)
    assert said == ""
    np.testing.assert_array_equal(sound[:RATE], before)
    assert len(sound) <= RATE + 8, "the chunk behind the sound is a few frames at most"
    with AudioReader(path) as reader:
        assert ["never finished" in note for note in reader.notes] == [True] * (data == 0)


@needs_ffmpeg
def test_rf64_and_au_whose_sizes_were_never_written_too(tmp_path):
    content = bytearray(tone(tmp_path / "a.rf64", 440))
    content[20:44] = bytes(24)
    (tmp_path / "killed.rf64").write_bytes(content)
    content = bytearray(tone(tmp_path / "a.au", 440))
    content[8:12] = bytes(4)
    (tmp_path / "killed.au").write_bytes(content)
    for name in ("killed.rf64", "killed.au"):
        sound, rate, said = read(tmp_path / name)
        assert (len(sound), hz_of(sound, rate), said) == (RATE, 440, "")


def test_a_wav_without_any_sound_stays_empty(tmp_path):
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros((0, 2)), RATE)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 8) + b"INFOxxxx")
    with pytest.raises(NoSoundError, match="0 frames"):
        AudioReader(path)


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".au", ".w64", ".rf64"])
def test_a_file_that_was_cut_is_read_to_the_cut_and_that_is_said(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    content = tone(path, 440, 4)
    path.write_bytes(content[: len(content) // 2])
    sound, rate, said = read(path)
    assert len(sound) / rate == pytest.approx(2, abs=0.01)
    assert said == f"{path}: damaged (2.00 s of 4.00 s can be read)"


def test_without_ffmpeg_a_wav_whose_sizes_were_never_written_is_refused_by_a_line(tmp_path, monkeypatch):
    path = tmp_path / "killed.wav"
    path.write_bytes(with_sizes(tone(path, 440), 36, 0))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(InputFileError, match=r"never finished .*install ffmpeg"):
        AudioReader(path)


def test_bytes_behind_the_end_of_a_wav_are_named_unless_they_are_nothing(tmp_path):
    path = tmp_path / "tail.wav"
    content = tone(path, 440, 1)
    for tail, noted in ((bytes(100_000), 0), (b"\x91\xf2" * 50_000, 1)):
        path.write_bytes(content + tail)
        with AudioReader(path) as reader:
            assert len(reader.notes) == noted
        assert len(read(path)[0]) == RATE


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.txt", "a", "a.raw", "a.vox"])
def test_the_content_decides_not_the_suffix(tmp_path, name):
    tone(tmp_path / "a.wav", 440, 0.5)
    shutil.copy(tmp_path / "a.wav", tmp_path / name)
    sound, rate, said = read(tmp_path / name)
    assert (len(sound), hz_of(sound, rate), said) == (RATE // 2, 440, "")


@pytest.mark.parametrize("name", ["a.raw", "a.au", "a.snd", "a.gsm", "a.vox", "a.vox6", "a.VOX8"])
def test_noise_is_no_audio_whatever_its_suffix(tmp_path, monkeypatch, name):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    (tmp_path / name).write_bytes(random.Random(1).randbytes(50_000))
    with pytest.raises(InputFileError, match="not a format that libsndfile reads"):
        AudioReader(tmp_path / name)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.raw", "a.au", "a.snd", "a.vox"])
def test_ffmpeg_reads_what_libsndfile_knows_by_its_suffix_only(tmp_path, name):
    tone(tmp_path / "a.wav", 440)
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", tmp_path / "a.wav", "-f", "ipod", tmp_path / name]
    subprocess.run(command, check=True)
    sound, rate, said = read(tmp_path / name)
    assert (rate, hz_of(sound, rate), said) == (RATE, 440, "")


@pytest.mark.parametrize("rate", [1, 100, 999, 1_536_001, 2_000_000_000])
def test_a_rate_that_no_sound_has_is_refused(tmp_path, rate):
    path = tmp_path / "rate.wav"
    soundfile.write(path, np.zeros((100, 2)), rate)
    with pytest.raises(InputFileError, match=f"{rate} Hz; 1000 to 1536000 Hz"):
        AudioReader(path)


def test_more_channels_than_rtsep_takes_are_refused(tmp_path):
    path = tmp_path / "channels.wav"
    soundfile.write(path, np.zeros((100, 65)), RATE)
    with pytest.raises(InputFileError, match="65 channels; 1 to 64"):
        AudioReader(path)


HEADS = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".au", ".w64", ".caf", ".rf64")


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Short files of all kinds."""
    folder = tmp_path_factory.mktemp("heads")
    return {suffix: tone(folder / f"a{suffix}", 440, 0.2) for suffix in HEADS}


@pytest.mark.parametrize("suffix", HEADS)
@settings(max_examples=25, print_blob=False)
@given(data=st.data())
def test_any_bytes_in_a_header_lead_to_sound_or_to_one_line(heads, tmp_path, monkeypatch, suffix, data):
    monkeypatch.setattr(shutil, "which", lambda _name: None)  # what ffmpeg does is not ours
    content = bytearray(heads[suffix])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 120))
        content[place : place + 4] = data.draw(st.binary(min_size=1, max_size=4))
    path = tmp_path / f"fuzz{suffix}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        sound, _, said = read(path)
    except InputFileError as error:
        sound, said = np.zeros(0), str(error)
    assert "\n" not in said
    assert len(sound) < 100 * RATE


def test_an_unknown_length_is_not_taken_for_a_number(tmp_path):
    content = bytearray(tone(tmp_path / "a.flac", 440))
    assert brief_look(tmp_path / "a.flac") == (RATE, 2, RATE)
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # an encoder that writes to a pipe states no number of samples
    (tmp_path / "piped.flac").write_bytes(content)
    assert brief_look(tmp_path / "piped.flac") == (RATE, 2, 0)
