"""Inputs that are no files: pipes are read like files, what no audio can come from is refused at once."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rtsep.errors import InputFileError, NoSoundError
from rtsep.files import spool
from rtsep.files.audiofile import AudioReader
from rtsep.files.encode import tags_of
from tests.files.tones import RATE, hz_of, read, tone

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes with names")


def written(path: Path, content: bytes, pause: float = 0.0) -> threading.Thread:
    """Write `content` to the pipe `path`, in halves with a pause between them, on a thread."""

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), path.open("wb", buffering=0) as pipe:
            half = len(content) // 2
            for part in (content[:half], content[half:]):
                pipe.write(part)
                time.sleep(pause)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg", ".opus"])
def test_a_fifo_is_read_like_a_file(tmp_path, suffix):
    content = tone(tmp_path / f"a{suffix}", 440, 1, rate=48000)
    path = tmp_path / f"pipe{suffix}"
    os.mkfifo(path)
    writer = written(path, content)
    sound, rate, said = read(path)
    writer.join()
    assert said == ""
    assert hz_of(sound, rate) == pytest.approx(440, abs=2)
    assert len(sound) / rate == pytest.approx(1, abs=0.05)


def test_a_pipe_that_takes_its_time_is_waited_for_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_NOTIFY_AFTER_S", 0.1)
    content = tone(tmp_path / "a.wav", 440, 1)
    path = tmp_path / "slow.wav"
    os.mkfifo(path)
    lines: list[str] = []
    writer = written(path, content, pause=0.5)
    with AudioReader(path, notify=lines.append) as reader:
        assert reader.frames == RATE
    writer.join()
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}: ")
    assert "pipe" in lines[0]


def test_a_fifo_without_a_writer_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "WAIT_FOR_WRITER_S", 0.3)
    path = tmp_path / "lonely.wav"
    os.mkfifo(path)
    with pytest.raises(InputFileError, match="a pipe without a writer"):
        AudioReader(path)


def test_a_pipe_that_ends_at_once_is_empty(tmp_path):
    path = tmp_path / "empty.wav"
    os.mkfifo(path)
    writer = written(path, b"")
    with pytest.raises(NoSoundError, match="empty"):
        AudioReader(path)
    writer.join()


def test_what_came_through_a_pipe_leaves_nothing_behind(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(spool.tempfile, "tempdir", str(tmp_path / "temporary"))
    content = tone(tmp_path / "a.wav", 440, 1)
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    writer = written(path, content)
    with AudioReader(path) as reader:
        writer.join()
        assert list((tmp_path / "temporary").iterdir()) == []
        assert len(reader.read(10)) == 10


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_CHECK_EVERY", 1000)
    monkeypatch.setattr(spool.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    writer = written(path, bytes(5000))
    with pytest.raises(InputFileError, match=r"no space .* set TMPDIR"):
        AudioReader(path)
    writer.join()


@pytest.mark.parametrize(
    ("path", "words"),
    [("/dev/zero", "a device"), ("/dev/null", "empty"), ("/dev", "a folder"), ("/no/such", "no such file"),
     ("x" * 300, "cannot be read"), ("a\0b", "no such file")],
)  # fmt: skip
def test_what_holds_no_audio_is_refused_at_once(path, words):
    began = time.monotonic()
    with pytest.raises(InputFileError, match=words) as error:
        AudioReader(Path(path))
    assert time.monotonic() - began < 1
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("way", ["pipe", "file"])
def test_standard_input_is_read(tmp_path, way):
    content = tone(tmp_path / "a.flac", 440, 1)
    program = (
        "from rtsep.files.names import STDIN; from rtsep.files.audiofile import AudioReader;"
        "print(AudioReader(STDIN).frames)"
    )
    command = [sys.executable, "-c", program]
    if way == "pipe":
        run = subprocess.run(command, input=content, capture_output=True)
    else:
        with (tmp_path / "a.flac").open("rb") as file:
            run = subprocess.run(command, stdin=file, capture_output=True)
    assert run.stdout.decode().split() == [str(RATE)], run.stderr


@pytest.mark.skipif(not Path("/dev/fd").exists() or shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_a_file_that_is_already_open_is_read_by_ffmpeg_with_its_tags(tmp_path, folder):
    if not Path(folder).exists():
        pytest.skip("no such folder on this system")
    tone(tmp_path / "a.wav", 440, 1)
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        tmp_path / "a.wav",
        "-metadata",
        "title=One",
        tmp_path / "a.m4a",
    ]
    subprocess.run(command, check=True)
    with (tmp_path / "a.m4a").open("rb") as file:
        path = Path(folder, str(file.fileno()))
        sound, rate, said = read(path)
        assert (hz_of(sound, rate), said) == (440, "")
        with AudioReader(path) as reader:
            reader.read(RATE // 2)
            again = reader.again()
        with again() as second:
            assert len(second.read(RATE // 2)) == RATE // 2
        assert tags_of(path) == {"title": "One"}


def test_a_terminal_is_no_audio():
    import pty

    leader, follower = pty.openpty()
    program = (
        "from rtsep.files.names import STDIN; from rtsep.files.spool import open_input; open_input(STDIN)"
    )
    run = subprocess.run([sys.executable, "-c", program], stdin=follower, capture_output=True, timeout=60)
    os.close(leader)
    os.close(follower)
    assert b"standard input is a terminal" in run.stderr


def test_a_closed_standard_input_is_named():
    program = "from rtsep.files import names, spool; spool.open_input(names.STDIN)"
    run = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" <&-', sys.executable, program], capture_output=True, timeout=60
    )
    assert b"standard input is closed" in run.stderr


def test_a_file_that_is_read_stays_where_it_is(tmp_path):
    tone(tmp_path / "a.wav", 440, 0.1)
    opened = spool.open_input(tmp_path / "a.wav")
    with opened.file:
        assert (opened.access_path, opened.handles) == (tmp_path / "a.wav", ())
        assert isinstance(opened.file, io.BufferedReader)


def test_a_pipe_can_be_opened_again_when_its_reader_is_closed(tmp_path):
    content = tone(tmp_path / "a.wav", 440, 1)
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    writer = written(path, content)
    reader = AudioReader(path)
    writer.join()
    again = reader.again()
    reader.close()
    with again() as second:
        second.seek(RATE // 2)
        assert len(second.read(RATE)) == RATE // 2
