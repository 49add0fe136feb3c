"""Seek, pause and loop of a played file: exactly the right frames in the ring, whatever was read ahead."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import count, takewhile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from rtsep.audio import played_file, rings
from rtsep.audio.played_file import PlayedFile
from rtsep.audio.rings import Rings
from rtsep.audio.source import FADE_SECONDS, FileSource
from rtsep.files import sndfile
from rtsep.files.audiofile import AudioReader
from rtsep.files.sndfile import SndfileDecoder
from tests.audio.bench import noise
from tests.waiting import until

RATE = 44100
BLOCK = 441
FADE = round(FADE_SECONDS * RATE)


class Source(FileSource):
    """A file source that notes where its last splice begins."""

    spliced_at = 0

    def _head(self):
        self.spliced_at = round(self._segments[-1].start)
        return super()._head()


class SourcePlayer:
    """A ring that a file fills, and a callback that takes as much of it as the test requests."""

    def __init__(self, path: Path, rate: int = RATE, channels: tuple[int, ...] = (0, 1)) -> None:
        self.rings = Rings(rate, len(channels), list(channels), 2)
        self.source = Source(AudioReader(path), rate, list(channels))
        self.source.start(self.rings.state, self.rings.input)

    @property
    def now(self) -> int:
        """Frames that the callback has taken."""
        return int(self.rings.state[rings.IN_WRITE])

    def play(self, frames: int) -> np.ndarray:
        """Take `frames` frames; return them, silence behind the end."""
        state, ring = self.rings.state, self.rings.input
        taken = []
        for start in range(self.now, self.now + frames, BLOCK):
            stop = min(start + BLOCK, self.now + frames - sum(map(len, taken)))
            until(lambda stop=stop: state[rings.SOURCE_WRITE] >= stop or state[rings.SOURCE_END] <= stop)
            block = ring[np.arange(start, stop) & (len(ring) - 1)].copy()
            block[max(0, min(len(block), int(state[rings.SOURCE_END]) - start)) :] = 0
            taken.append(block)
            state[rings.IN_WRITE] = stop
        return np.concatenate(taken)

    def ask(self, what: Callable[[], None]) -> int:
        """Ask the source for something; return the frames from now to where that begins."""
        what()
        until(lambda: not self.source.unsettled)
        return self.source.spliced_at - self.now


@contextlib.contextmanager
def source_player(path: Path, **how: object) -> Iterator[SourcePlayer]:
    made = SourcePlayer(path, **how)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.source.close()


@pytest.fixture
def song(tmp_path):
    """Five seconds of noise, and its samples."""
    x = noise(5 * RATE)
    soundfile.write(tmp_path / "x.wav", x, RATE, "FLOAT")
    return tmp_path / "x.wav", x


@pytest.fixture(params=["seeks", "goes on only"])
def way(request, monkeypatch):
    """A file that can be sought in, and one whose decoder begins at its start each time."""
    if request.param == "goes on only":
        monkeypatch.setattr(AudioReader, "seeks", False)
    return request.param


@pytest.mark.parametrize("seconds", [3.0, 0.5, 0.0, 4.99])
def test_a_seek_plays_the_file_from_that_frame(song, way, seconds):
    path, x = song
    with source_player(path) as at:
        np.testing.assert_array_equal(at.play(30_000), x[:30_000])
        before = at.ask(lambda: at.source.seek(seconds))
        place = round(seconds * RATE)
        left = min(60_000, len(x) - place)
        received = at.play(before + left)
        np.testing.assert_array_equal(received[: before - FADE], x[30_000 : 30_000 + before - FADE])
        faded = x[30_000 + before - FADE : 30_000 + before] * (np.arange(FADE, 0, -1) / (FADE + 1))[:, None]
        np.testing.assert_allclose(received[before - FADE : before], faded, atol=1e-6)
        np.testing.assert_array_equal(received[before:], x[place : place + left])
        if left < 60_000:
            assert at.rings.state[rings.SOURCE_END] == at.now


def test_the_position_follows_a_seek_when_it_becomes_audible(song):
    path, _ = song
    with source_player(path) as at:
        at.play(20_000)
        before = at.ask(lambda: at.source.seek(2.0))
        start = at.now + before
        assert at.source.place(start - 1).position == pytest.approx((start - 1) / RATE)
        assert at.source.place(start + 100).position == pytest.approx(2.0 + 100 / RATE)
        assert at.source.target(start - 1) == 2.0  # a further step begins there, before it is audible
        assert at.source.place(-512).position == 0.0
        assert at.source.place(0).length == 5.0


def test_a_pause_is_silence_and_goes_on_with_the_next_frame(song, way):
    path, x = song
    with source_player(path) as at:
        at.play(30_000)
        before = at.ask(lambda: at.source.pause(True))
        stood = 30_000 + before
        received = at.play(before + 3 * RATE)  # longer than anything that is read ahead or kept
        np.testing.assert_array_equal(received[: before - FADE], x[30_000 : stood - FADE])
        assert not received[before:].any()
        assert at.source.place(at.now).paused
        assert at.source.place(at.now).position == pytest.approx(stood / RATE)
        before = at.ask(lambda: at.source.pause(False))
        received = at.play(before + 50_000)
        assert not received[:before].any()
        np.testing.assert_array_equal(received[before:], x[stood : stood + 50_000])
        assert at.rings.state[rings.SOURCE_STARVED] == 0


def test_a_seek_in_a_pause_stays_there(song, way):
    path, x = song
    with source_player(path) as at:
        at.play(10_000)
        at.ask(lambda: at.source.pause(True))
        at.play(20_000)
        before = at.ask(lambda: at.source.seek(1.5))
        assert not at.play(before + 5_000)[before:].any()
        assert at.source.place(at.now).position == 1.5
        before = at.ask(lambda: at.source.pause(False))
        place = round(1.5 * RATE)
        np.testing.assert_array_equal(at.play(before + 9_000)[before:], x[place : place + 9_000])


@pytest.mark.parametrize("kept", [played_file.LOOP_BYTES, 100_000], ids=["in memory", "read again"])
@pytest.mark.parametrize(("start", "end"), [(0.25, 1.0), (0.0, 0.5), (1.0, 1.1), (0.5, None), (0.0, 3.3)])
def test_a_loop_has_no_gap(song, way, monkeypatch, start, end, kept):
    monkeypatch.setattr(played_file, "LOOP_BYTES", kept)
    path, x = song
    first, behind = round(start * RATE), len(x) if end is None else round(end * RATE)
    with source_player(path) as at:
        at.play(5_000)
        at.ask(lambda: at.source.set_loop((start, end)))
        order = np.concatenate([np.arange(5_000, behind), *[np.arange(first, behind)] * 4])
        np.testing.assert_array_equal(at.play(len(order)), x[order])
        assert at.source.place(at.now - 1).position == pytest.approx((behind - 1) / RATE)
        # And on to the end of the file; a loop that is given up had begun again already, up to the splice.
        before = at.ask(lambda: at.source.set_loop(None))
        length = behind - first
        place = first + before % length
        received = at.play(before + len(x) - place)
        again = first + np.arange(before) % length
        np.testing.assert_array_equal(received, x[np.concatenate([again, np.arange(place, len(x))])])
        until(lambda: at.rings.state[rings.SOURCE_END] == at.now, "the file should end")
        assert at.rings.state[rings.SOURCE_STARVED] == 0


def test_what_plays_behind_the_end_of_a_loop_goes_to_its_start(song, way):
    path, x = song
    with source_player(path) as at:
        at.play(2 * RATE)
        before = at.ask(lambda: at.source.set_loop((0.5, 1.5)))
        received = at.play(before + RATE + 1_000)[before:]
        place = RATE // 2
        np.testing.assert_array_equal(received, x[np.r_[place : place + RATE, place : place + 1_000]])
        before = at.ask(lambda: at.source.seek(4.0))
        np.testing.assert_array_equal(at.play(before + 100)[before:], x[place : place + 100])


def test_a_file_that_is_over_goes_on_with_a_seek(song, way):
    path, x = song
    with source_player(path) as at:
        np.testing.assert_array_equal(at.play(len(x)), x)
        assert not at.play(10_000).any()
        before = at.ask(lambda: at.source.seek(4.0))
        received = at.play(before + RATE)
        assert not received[:before].any()
        np.testing.assert_array_equal(received[before:], x[4 * RATE :])
        assert at.rings.state[rings.SOURCE_END] == at.now


def test_another_engine_goes_on_behind_a_seek_a_loop_and_a_pause(song, way):
    path, x = song
    with source_player(path) as at:
        at.play(10_000)
        at.ask(lambda: at.source.set_loop((1.0, 1.5)))
        before = at.ask(lambda: at.source.seek(1.4))
        at.play(before + 10_000)  # over the end of the loop: the place is 1 s and 5,590 frames
        again = SourcePlayer.__new__(SourcePlayer)
        again.source, again.rings = at.source, Rings(RATE, 2, [0, 1], 2)
        at.source.stop()
        at.source.go_back(at.now - 8_000)
        at.source.start(again.rings.state, again.rings.input)
        tail = np.arange(round(1.5 * RATE) - 8_000 + 5_590, round(1.5 * RATE))
        order = np.r_[tail, RATE : RATE + 20_000]
        np.testing.assert_array_equal(again.play(len(order)), x[order])
        again.ask(lambda: at.source.pause(True))
        again.play(10_000)
        stood = again.source.place(again.now).position
        last = SourcePlayer.__new__(SourcePlayer)
        last.source, last.rings = at.source, Rings(RATE, 2, [0, 1], 2)
        at.source.stop()
        at.source.go_back(again.now)
        at.source.start(last.rings.state, last.rings.input)
        assert not last.play(10_000).any()
        assert at.source.place(last.now).position == pytest.approx(stood)


def test_at_another_rate_a_loop_is_one_stream_and_a_change_of_it_makes_no_click(tmp_path):
    t = np.arange(3 * 48000) / 48000
    x = (0.5 * np.sin(2 * np.pi * 500 * t)).astype(np.float32)[:, None]  # 500 Hz: whole periods a second
    soundfile.write(tmp_path / "x.wav", x, 48000, "FLOAT")
    with source_player(tmp_path / "x.wav", channels=(0,)) as at:
        first = at.play(20_000)
        at.ask(lambda: at.source.set_loop((0.0, 1.0)))
        received = np.concatenate([first, at.play(5 * RATE)])
        place = at.source.place(at.now).position
        assert place == pytest.approx((20_000 / RATE) % 1.0, abs=1e-4)
    whole = soxr.resample(np.concatenate([x[:48000]] * 6), 48000, RATE, quality="VHQ")
    # The splice may lie half a frame of the file off the ring's: 10 us, faded over.
    np.testing.assert_allclose(
        received, whole[: len(received)], atol=0.5 * 2 * np.pi * 500 * 0.5 / 48000 + 1e-3
    )
    bends = np.abs(np.diff(received[1000:, 0], 2))
    assert bends.max() < 1.25 * 0.5 * (2 * np.pi * 500 / RATE) ** 2  # no click


def test_a_splice_that_a_callback_has_reached_is_made_again_further_on(song, monkeypatch):
    path, x = song
    with source_player(path) as at:
        at.play(30_000)
        whole, calls = FileSource._head, []

        def slow(self):
            calls.append(at.now)
            if len(calls) == 1:
                at.rings.state[rings.IN_WRITE] += 9_000  # the device calls while we read
            return whole(self)

        monkeypatch.setattr(FileSource, "_head", slow)
        before = at.ask(lambda: at.source.seek(2.5))
        assert len(calls) == 2 and before > 0
        place = round(2.5 * RATE)
        np.testing.assert_array_equal(at.play(before + 40_000)[before:], x[place : place + 40_000])
        assert at.source.place(at.now).position == pytest.approx(2.5 + 40_000 / RATE)


def test_memory_is_bounded_by_the_loop_that_is_kept(song, monkeypatch):
    monkeypatch.setattr(played_file, "LOOP_BYTES", 200_000)
    path, _ = song
    file = PlayedFile(AudioReader(path), 10_000)
    file.set_loop(played_file.Loop(0, None))
    for _ in range(200):
        file.read(4_410)
    file.close()
    assert len(file._memory.sound) == 0
    held = sum(piece.sound.nbytes for piece in (*file._past, *file._gathered))
    assert held <= 200_000 + 8 * (10_000 + 2 * 4_410)


@pytest.mark.parametrize("kind", ["flac", "ogg", "mp3", "wav"])
def test_a_seek_in_a_file_gives_the_samples_of_reading_through(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    soundfile.write(path, 0.5 * noise(3 * RATE), RATE)
    with AudioReader(path) as reader:
        assert reader.seeks
        whole = np.concatenate(list(takewhile(len, (reader.read(10_000) for _ in count()))))
        for frame in (100_000, 0, 8_192, 50_001, 131_000):
            reader.seek(frame)
            np.testing.assert_array_equal(reader.read(2_000), whole[frame : frame + 2_000])
        reader.seek(len(whole) + 10)
        assert len(reader.read(10)) == 0


def test_a_file_that_goes_on_only_is_read_up_to_there(song, monkeypatch):
    monkeypatch.setattr(SndfileDecoder, "seeks", False)
    path, x = song
    with AudioReader(path) as reader:
        reader.seek(70_000)
        np.testing.assert_array_equal(reader.read(10), x[70_000:70_010])
        reader.seek(60_009)
        np.testing.assert_array_equal(reader.read(10), x[60_009:60_019])
    assert sndfile.BLOCK < 60_000


def test_a_seek_whose_file_cannot_be_opened_is_refused_and_playback_goes_on(song, monkeypatch):
    path, x = song
    monkeypatch.setattr(AudioReader, "seeks", False)
    again = AudioReader.again
    with source_player(path) as at:
        at.play(10_000)

        def refuse(reader: AudioReader) -> Callable[[], AudioReader]:
            return lambda: 1 // 0  # type: ignore[return-value]

        monkeypatch.setattr(AudioReader, "again", refuse)
        at.source.seek(3.0)
        until(lambda: not at.source.unsettled)
        line = at.source.take_refusal()
        assert line.startswith(f"seek to 3.000 s refused: {path}: ZeroDivisionError")
        assert line.endswith("; playback continues")
        assert at.source.take_refusal() == ""
        np.testing.assert_array_equal(at.play(30_000), x[10_000:40_000])
        monkeypatch.setattr(AudioReader, "again", again)
        before = at.ask(lambda: at.source.seek(3.0))
        at.play(before)
        np.testing.assert_array_equal(at.play(10_000), x[3 * RATE : 3 * RATE + 10_000])


def test_a_seek_far_behind_the_end_of_an_unknown_length_ends_the_file(song, monkeypatch):
    path, _ = song
    monkeypatch.setattr(AudioReader, "seeks", False)
    monkeypatch.setattr(AudioReader, "length", None)
    with source_player(path) as at:
        at.play(10_000)
        before = at.ask(lambda: at.source.seek(1e9))
        at.play(before)
        until(lambda: at.rings.state[rings.SOURCE_END] <= at.now)
        assert at.source.failure is None


def test_an_unforeseen_error_of_a_decoder_ends_the_file_with_a_line(song, monkeypatch):
    path, _ = song

    def decode(self: SndfileDecoder) -> np.ndarray:
        raise OSError(5, "Input/output error")

    with source_player(path) as at:
        at.play(10_000)
        monkeypatch.setattr(SndfileDecoder, "decode", decode)
        at.source.seek(4.0)
        until(lambda: at.source.failure)
        assert str(at.source.failure) == f"{path}: OSError: [Errno 5] Input/output error"
