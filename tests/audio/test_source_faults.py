"""A played file whose disk or decoder hangs, and one that another file has replaced: the session can end."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from rtsep.audio import fed_engines, played_file
from rtsep.audio import rings as layout
from rtsep.audio.played_file import Opening
from rtsep.audio.rings import Rings
from rtsep.audio.source import FileSource
from rtsep.errors import InputFileError
from rtsep.files.audiofile import AudioReader
from tests.audio.bench import noise
from tests.waiting import until


class Hanging:
    """A reader of which every `read` after the first second of the file hangs."""

    rate, channels, length, seeks, path = 44100, 2, None, True, "song.m4a"

    def __init__(self, ends_by_interrupt: bool) -> None:
        self.hangs, self.free, self.closed = threading.Event(), threading.Event(), False
        self._ends_by_interrupt, self._read = ends_by_interrupt, 0

    def read(self, frames: int) -> np.ndarray:
        self._read += frames
        if self._read > 2 * 131072:
            self.hangs.set()
            assert self.free.wait(30.0)
            return np.zeros((0, 2), np.float32)
        return np.ones((frames, 2), np.float32)

    def interrupt(self) -> None:
        if self._ends_by_interrupt:
            self.free.set()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def impatient(monkeypatch):
    for module in (played_file, fed_engines):
        monkeypatch.setattr(module, "READ_PATIENCE_S", 0.1)


def start(reader: Hanging) -> tuple[FileSource, Rings]:
    """Return a source whose thread hangs in `reader`."""
    rings = Rings(44100, 2, [0, 1], 4)
    source = FileSource(reader, 44100, [0, 1])  # type: ignore[arg-type]
    source.start(rings.state, rings.input)
    rings.state[layout.IN_WRITE] = 4 * len(rings.input)
    until(reader.hangs.is_set)
    return source, rings


@pytest.mark.usefixtures("impatient")
def test_a_decoder_that_hangs_is_ended():
    reader = Hanging(ends_by_interrupt=True)
    source, _ = start(reader)
    source.close()
    assert reader.closed


@pytest.mark.usefixtures("impatient")
def test_a_disk_that_hangs_keeps_nobody_but_its_thread():
    reader = Hanging(ends_by_interrupt=False)
    source, rings = start(reader)
    written = rings.state[layout.SOURCE_WRITE]
    with pytest.raises(InputFileError, match="the disk, or ffmpeg, does not answer"):
        source.feed_also(rings.state.copy())
    source.stop()
    source.go_back(0)
    with pytest.raises(InputFileError, match="the disk, or ffmpeg, does not answer"):
        source.start(rings.state, rings.input)
    source.close()
    assert not reader.closed
    reader.free.set()
    until(lambda: not any(thread.name == "file-source" for thread in threading.enumerate()))
    assert rings.state[layout.SOURCE_WRITE] == written


def test_an_unforeseen_error_ends_the_file_with_a_line(monkeypatch):
    rings = Rings(44100, 2, [0, 1], 4)
    reader = Hanging(ends_by_interrupt=True)
    source = FileSource(reader, 44100, [0, 1])  # type: ignore[arg-type]
    source.start(rings.state, rings.input)

    def fails(*_: object) -> None:
        raise IndexError("channel 1 of 1")

    monkeypatch.setattr(source, "_carry_out", fails)
    source.seek(1.0)
    until(lambda: source.failure)
    assert str(source.failure) == "song.m4a: IndexError: channel 1 of 1"
    assert not source.unsettled
    until(lambda: rings.state[layout.SOURCE_END] == rings.state[layout.SOURCE_WRITE])
    source.close()


@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (44100, 1)])
def test_a_file_in_the_place_of_the_played_one_is_refused_at_a_seek(tmp_path, rate, channels):
    path = tmp_path / "song.wav"
    soundfile.write(path, noise(4000, channels), rate)
    before = SimpleNamespace(path=path, rate=44100, channels=2, again=lambda: lambda: AudioReader(path))
    with pytest.raises(InputFileError, match="another file has taken its place"):
        Opening(before, 100, lambda: None).result()  # type: ignore[arg-type]
