"""ffmpeg and ffprobe that cannot be started, do not finish or are ended: one line, little memory, no wait."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio.played_file import Opening
from rtsep.controls import Controls
from rtsep.errors import InputFileError
from rtsep.files import ffmpeg
from rtsep.files.audiofile import AudioReader
from rtsep.files.encode import encode
from rtsep.files.ffmpeg import DecoderEndedError, FfmpegInput, Track, seconds_of, widest
from rtsep.offline.file_mode import separate_file
from tests.models import PlainModel

pytestmark = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or os.name != "posix", reason="needs ffmpeg and programs in sh"
)

TRACK = Track(stream=0, number=1, rate=44100, channels=1, layout="", stated_frames=0, default=True, name="")


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """A file without a stated length that only ffmpeg reads, 1 s."""
    path = tmp_path_factory.mktemp("video") / "one.mkv"
    tone = ["-f", "lavfi", "-i", "sine=440:d=1:r=44100"]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *tone, "-c:a", "aac", path], check=True)
    return path


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Make a program in front of the others on the path."""

    def make(name: str, text: str) -> None:
        (tmp_path / "bin").mkdir(exist_ok=True)
        path = tmp_path / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    return make


def test_the_durations_of_many_packets_take_no_memory(program):
    program("ffprobe", "#!/bin/sh\nyes 0.020000, | head -n 50000\n")
    tracemalloc.start()
    try:
        assert seconds_of(FfmpegInput(Path("x.mp3")), TRACK) == pytest.approx(1000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_too_many_packets_are_an_unknown_length(program, monkeypatch):
    program("ffprobe", "#!/bin/sh\nexec yes 0.020000,\n")
    monkeypatch.setattr(ffmpeg, "_MAX_PACKETS", 1000)
    assert seconds_of(FfmpegInput(Path("x.mp3")), TRACK) == 0.0


def test_a_program_that_does_not_finish_is_ended(program, monkeypatch):
    program(
        "ffprobe",
        '#!/bin/sh\necho 0.02\necho \'{"channels": 2, "channel_layout": "stereo"}\'\nexec sleep 50\n',
    )
    monkeypatch.setattr(ffmpeg, "_DEMUX_S", 0.3)
    monkeypatch.setattr(ffmpeg, "_DECODE_S", 0.3)
    found: list[object] = []

    def run() -> None:
        found.extend(
            (seconds_of(FfmpegInput(Path("x.mp3")), TRACK), widest(FfmpegInput(Path("x.mp3")), TRACK))
        )

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert found[0] == 0.0
    assert isinstance(found[1], Track)
    assert found[1].channels == 2


@pytest.mark.parametrize("end", ["kill -TERM $$", "kill -KILL $$", "exit 255"])
def test_an_ffmpeg_that_is_ended_is_no_damage_and_leaves_no_stems(video, tmp_path, program, end):
    program("ffmpeg", f"#!/bin/sh\nhead -c 80000 /dev/zero\n{end}\n")
    with AudioReader(video) as reader:
        assert len(reader.read(44100)) == 20_000
        with pytest.raises(DecoderEndedError, match=r"one.mkv: ffmpeg was ended before the end of the file"):
            reader.read(1)
    with pytest.raises(DecoderEndedError):
        separate_file(video, tmp_path / "out", PlainModel("half"), Controls())
    assert list((tmp_path / "out").iterdir()) == []


def test_an_ffmpeg_that_crashes_on_a_damaged_file_leaves_what_it_has_read(video, tmp_path, program):
    program("ffmpeg", "#!/bin/sh\nhead -c 80000 /dev/zero\nkill -SEGV $$\n")
    result = separate_file(video, tmp_path / "out", PlainModel("half"), Controls())
    assert result.damage and soundfile.info(result.stems["vocals"]).frames == 20_000


def test_ctrl_c_in_a_terminal_reaches_none_of_the_programs(video, tmp_path, program):
    groups, wav = tmp_path / "groups", tmp_path / "stem.wav"
    for name in ("ffmpeg", "ffprobe"):
        program(name, f'#!/bin/sh\nps -o pgid= -p $$ >> {groups}\nexec {shutil.which(name)} "$@"\n')
    with AudioReader(video) as reader:  # two programs
        while len(reader.read(44100)):
            pass
    seconds_of(FfmpegInput(video), TRACK)
    widest(FfmpegInput(video), TRACK)
    soundfile.write(wav, np.zeros((100, 1)), 44100)
    encode(wav, tmp_path / "stem.flac", video, "PCM_24")  # two, the first one for the tags
    found = [int(group) for group in groups.read_text().split()]
    assert len(found) == 6
    assert os.getpgrp() not in found


@pytest.mark.parametrize("name", ["ffprobe", "ffmpeg"])
def test_a_program_that_is_damaged_is_one_line(video, program, name, tmp_path, monkeypatch):
    for other in {"ffmpeg", "ffprobe"} - {name}:
        program(other, f'#!/bin/sh\nexec {shutil.which(other)} "$@"\n')
    program(name, "\0\1\2")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # a damaged program is skipped for another one
    with pytest.raises(InputFileError, match=rf"one.mkv: {name} cannot be started \(.*install ffmpeg again"):
        AudioReader(video)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EMFILE, "ulimit -n"), (errno.EAGAIN, "ulimit -u"), (errno.ENOMEM, "ulimit -v")],
)
def test_a_limit_of_the_machine_is_one_line_with_the_remedy(video, tmp_path, monkeypatch, number, remedy):
    flac = tmp_path / "one.flac"  # libsndfile reads it, but ffmpeg may find more
    soundfile.write(flac, np.zeros((44100, 1)), 44100)
    with AudioReader(video) as reader:
        again, ready = reader.again(), threading.Event()
        while len(reader.read(10_000)):
            pass
        with monkeypatch.context() as patch:
            _refuse(patch, number)
            for path in (video, flac):
                with pytest.raises(InputFileError, match=remedy):
                    AudioReader(path)
            with pytest.raises(InputFileError, match=remedy):
                again()
            with pytest.raises(InputFileError, match=remedy):
                reader.seek(100)
            opening = Opening(reader, 100, ready.set)
            with pytest.raises(InputFileError, match=remedy):
                opening.result()
            assert ready.is_set()
        assert len(reader.read(100)) == 0  # the position stayed
        assert reader.seek(100)
        assert len(reader.read(100)) == 100


def _refuse(patch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    patch.setattr(subprocess, "Popen", refuse)


def test_an_unforeseen_error_is_a_failed_opening(video, monkeypatch):
    def seek(self: AudioReader, frame: int) -> bool:
        raise ZeroDivisionError("of a decoder")

    ready = threading.Event()
    with AudioReader(video) as reader:
        monkeypatch.setattr(AudioReader, "seek", seek)
        with pytest.raises(InputFileError, match=r"one.mkv: ZeroDivisionError: of a decoder"):
            Opening(reader, 100, ready.set).result()
    assert ready.is_set()


def test_a_limit_of_threads_is_a_failed_opening_and_leaves_no_program(video, monkeypatch):
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with AudioReader(video) as reader:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            opening = Opening(reader, 100, lambda: None)
            assert opening.done
            with pytest.raises(
                InputFileError, match="no thread can be started; raise the limit of processes"
            ):
                opening.result()
            opening.cancel()
            with pytest.raises(InputFileError, match="ffmpeg cannot be started"):
                AudioReader(video)
        assert len(reader.read(100)) == 100


def test_a_seek_says_whether_the_file_is_that_long(video, tmp_path):
    soundfile.write(tmp_path / "one.wav", np.zeros((44100, 1)), 44100)
    for path in (video, tmp_path / "one.wav"):
        with AudioReader(path) as reader:
            assert reader.seek(44_000)
            assert not reader.seek(10**15)
            assert len(reader.read(10)) == 0
