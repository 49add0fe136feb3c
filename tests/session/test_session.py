"""`rtsep.Session`: playing, taking, ending, and what it raises."""

from __future__ import annotations

import numpy as np
import pytest

import rtsep
from rtsep.errors import (
    DeviceError,
    InputFileError,
    ModelError,
    NoThreadError,
    OutputError,
    UsageError,
)
from rtsep.files.audiofile import AudioReader
from rtsep.session.watchdog import Watchdog
from tests.models import make_model
from tests.session.playing import RATE, hop_loops, read

pytestmark = pytest.mark.usefixtures("no_server")


def test_two_play_side_by_side_each_with_controls_of_its_own(half, song, tmp_path):
    sound, silent = read(song), rtsep.Controls(vocals_mute=1)
    how = {"out_device": "virtual", "model": half, "subtype": "FLOAT"}
    first = rtsep.Session(song, **how, record=tmp_path / "first")
    second = rtsep.Session(str(song), **how, record=str(tmp_path / "second"), controls=silent)
    with first, second:
        assert first.rate == RATE
        assert first.latency == first.stats()["latency_samples"] == 512
        assert first.stats()["model"]["pid"] != second.stats()["model"]["pid"]
        assert first.controls is not second.controls is silent
        assert first.wait(timeout=60)
        assert second.wait(60)
    assert hop_loops() == 0
    for session, gain in ((first, 0.5), (second, 0.0)):
        assert session.stats()["hops"] >= RATE // 256
        (take,) = session.recordings
        assert np.array_equal(read(take["mix"]), sound)
        # While masks are late for long, the dry signal is audible, but not all of the time.
        off = np.abs(read(take["vocals"]) - gain * sound).max(axis=1)
        assert np.median(off) < 1e-6


def test_controls_and_takes_while_it_plays(half, tmp_path):
    with rtsep.Session("demo", out_device="virtual", model=half) as session:
        assert not session.wait(timeout=0)
        session.start_recording(str(tmp_path / "take"))
        with pytest.raises(UsageError):
            session.start_recording(tmp_path / "other")
        session.controls.vocals_mute = 1
        assert not session.wait(0.5)
        files = session.stop_recording()
        assert files and set(files) == {"vocals", "instrumental", "mix"}
        assert not session.stop_recording()
        assert not read(files["vocals"])[-2000:].any()
        session.end()
        assert session.wait(20)
        assert session.stats()["state"]


def test_what_cannot_start_raises_at_once_and_leaves_nothing_behind(half, song, tmp_path):
    (tmp_path / "file").write_text("")
    broken = make_model(tmp_path / "nan.pt", "nan")
    for session, kind, words in (
        (
            rtsep.Session("none.wav", out_device="virtual", model=half),
            InputFileError,
            "none.wav: no such file",
        ),
        (rtsep.Session(song, out_device="virtual", model="lve"), ModelError, "did you mean 'live'"),
        (rtsep.Session(song, out_device="virtual", model=broken), ModelError, "golden frames do not replay"),
        (
            rtsep.Session(song, out_device="virtual", model=half, record=tmp_path / "file"),
            OutputError,
            "file",
        ),
        (rtsep.Session(song, out_device="no such thing", model=half), DeviceError, "no such thing"),
    ):
        with pytest.raises(kind) as error:
            session.start()
        assert words in str(error.value)
        assert hop_loops() == 0
        session.close()  # once more does no harm


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"out": "vocal"},
            "out 'vocal': must be one of vocals, instrumental, mix, both; did you mean 'vocals'?",
        ),
        ({"compute": "gpu"}, "compute 'gpu': must be one of cpu, cuda"),
        ({"subtype": "MP3"}, "subtype 'MP3': must be one of"),
        ({"rate": 44100.0}, "rate 44100.0: must be a whole number from 8000 to 384000"),
        ({"block": 1}, "block 1: must be a whole number from 16 to 8192"),
        ({"slack": -1}, "slack -1: must be a whole number from 0"),
        ({"in_channels": (0, 1)}, "in_channels: channel 0: must be a whole number from 1"),
        ({"out_channels": [1, 1]}, "out_channels (1, 1): channel 1 is given twice"),
        ({"seconds": 0}, "seconds 0: must be more than 0"),
        ({"seconds": float("nan")}, "seconds nan: must be more than 0"),
        ({"client_name": "a:b"}, "client_name 'a:b'"),
    ],
)
def test_values_that_make_no_sense_are_refused_before_anything_is_opened(arguments, words):
    with pytest.raises(UsageError) as error:
        rtsep.Session("demo", **arguments)
    assert words in str(error.value)


def test_it_plays_once_and_says_so(half, song):
    session = rtsep.Session(song, out_device="virtual", model=half, seconds=0.1)
    for early in (session.stats, session.wait, session.end, lambda: session.latency):
        with pytest.raises(UsageError, match="has not started"):
            early()
    with session:
        with pytest.raises(UsageError, match="plays only once"):
            session.start()
        assert session.wait()
    with pytest.raises(UsageError, match="plays only once"):
        session.start()
    assert session.stats()["hops"] > 0  # what it was is still known
    assert session.ends is session.io  # its old name


def test_an_error_while_it_plays_is_raised_once_and_masks_none(half, song, monkeypatch):
    whole = Watchdog.over

    def lost(self, engine):
        return "the device went up in smoke" if whole(self, engine) else None

    monkeypatch.setattr(Watchdog, "over", lambda *_: False)
    monkeypatch.setattr(Watchdog, "lost", lost)
    how = {"out_device": "virtual", "model": half, "seconds": 0.05, "reconnect": False}
    with pytest.raises(DeviceError, match="smoke"), rtsep.Session(song, **how) as session:
        assert session.is_over(20)  # by leaving
    with rtsep.Session(song, **how) as session, pytest.raises(DeviceError, match="smoke"):
        session.wait(20)  # by waiting, and not again by leaving
    with pytest.raises(ZeroDivisionError) as error, rtsep.Session(song, **how) as session:
        assert session.is_over(20)
        raise ZeroDivisionError
    (note,) = error.value.__notes__
    assert (
        note
        == "(the session had already ended: the device went up in smoke; the session ends (--no-reconnect))"
    )
    assert hop_loops() == 0


def test_a_file_that_is_damaged_further_on_plays_until_there_and_raises(half, long_song, monkeypatch):
    whole, given = AudioReader.read, []

    def read_a_second(self, frames):
        given.append(frames)
        if sum(given) > RATE:
            raise InputFileError(f"{self.path}: damaged")
        return whole(self, frames)

    monkeypatch.setattr(AudioReader, "read", read_a_second)
    session = rtsep.Session(long_song, out_device="virtual", model=half)
    with pytest.raises(InputFileError, match=r"long\.wav: damaged"), session:
        session.wait(60)
    assert session.stats()["hops"] * 256 >= 0.8 * RATE


def test_a_session_without_a_thread_is_refused_and_can_be_tried_again(half, song, no_threads):
    session = rtsep.Session(song, out_device="virtual", model=half)
    for _ in range(2):
        with pytest.raises(NoThreadError, match="raise the limit of processes"):
            session.start()
