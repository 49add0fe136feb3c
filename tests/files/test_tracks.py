"""Files with several audio tracks: the default one, as players take it, or the one that is asked for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rtsep.errors import InputFileError
from rtsep.files.audiofile import AudioReader
from tests.files.tones import hz_of, read, tone

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Makes a file with tracks of 440 and 880 Hz, the second being the default one, and returns its path."""
    folder = tmp_path_factory.mktemp("videos")

    def make(name: str) -> Path:
        path = folder / name
        if not path.exists():
            tones = [word for hz in (440, 880) for word in ("-f", "lavfi", "-i", f"sine={hz}:d=1:r=44100")]
            codec = "libvorbis" if path.suffix in (".ogg", ".ogv") else "aac"
            subprocess.run(
                ["ffmpeg", "-v", "error", "-nostdin", *tones, "-map", "0", "-map", "1", "-c:a", codec,
                 "-metadata:s:a:1", "language=ita", "-disposition:a:0", "0", "-disposition:a:1", "default",
                 path], check=True,
            )  # fmt: skip
        return path

    return make


@pytest.mark.parametrize("name", ["two.mkv", "two.mp4", "two.mov"])
def test_the_default_track_is_read_and_named(video, name):
    sound, rate, said = read(video(name))
    assert said == ""
    assert hz_of(sound, rate) == pytest.approx(880, abs=2)
    with AudioReader(video(name)) as reader:
        (note,) = reader.notes
    assert "2 audio tracks" in note
    assert "track 2 (ita)" in note
    assert "--track N" in note


@pytest.mark.parametrize(("track", "hz"), [(1, 440), (2, 880)])
@pytest.mark.parametrize("name", ["two.mkv", "two.mp4", "two.ogg"])
def test_the_track_that_is_asked_for_is_read_without_a_word(video, name, track, hz):
    sound, rate, said = read(video(name), track=track)
    assert said == ""
    assert hz_of(sound, rate) == pytest.approx(hz, abs=2)
    with AudioReader(video(name), track) as reader:
        assert reader.notes == []


@pytest.mark.parametrize("name", ["two.mkv", "one.wav"])
def test_a_track_that_is_not_there_is_refused(video, tmp_path, name):
    path = tmp_path / name
    if name == "one.wav":
        tone(path, 440, 0.1)
    else:
        path = video(name)
    with pytest.raises(InputFileError, match=r"--track 7: it has [12] audio tracks?"):
        AudioReader(path, 7)


def test_a_video_without_sound_is_refused(tmp_path):
    path = tmp_path / "silent.mp4"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc=s=64x64:d=1", path], check=True
    )
    with pytest.raises(InputFileError, match="no audio"):
        AudioReader(path)
