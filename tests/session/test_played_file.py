"""A file in a session: where it stands, and seek, pause and loop while it plays."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.errors import UsageError
from tests.e2e.exact import noise
from tests.session.playing import RATE, read, until

pytestmark = pytest.mark.usefixtures("no_server")


def found(haystack: np.ndarray, needle: np.ndarray) -> int:
    """Return where `needle` [frames, channels] begins in `haystack`, -1 for nowhere."""
    starts = np.flatnonzero(np.all(haystack[: len(haystack) - len(needle) + 1] == needle[0], axis=1))
    return next((int(at) for at in starts if np.array_equal(haystack[at : at + len(needle)], needle)), -1)


def test_seek_pause_and_loop_are_in_the_recording_to_the_sample(half, tmp_path):
    path, sound = tmp_path / "song.wav", noise(20 * RATE)
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    how = {"out_device": "virtual", "model": half, "subtype": "FLOAT", "record": tmp_path / "take"}
    with rtsep.Session(path, **how) as session:
        until(lambda: session.place.position > 0.2)
        assert session.place.length == 20.0 and not session.place.paused and session.place.loop is None
        session.seek(10.0)
        until(lambda: session.place.position >= 10.2)
        session.pause()
        until(lambda: session.stats()["file"]["paused"])
        stood = until(lambda: stands(session))
        session.skip(-1.0)
        session.skip(0.5)  # from the new position, although it is not audible yet
        until(lambda: session.place.position == pytest.approx(stood - 0.5, abs=0.001))
        session.resume()
        session.loop(9.0, 9.4)
        until(lambda: 9.0 <= session.place.position < 9.2)
        until(lambda: session.place.position > 9.2)
        until(lambda: session.place.position < 9.2)
        assert session.stats()["file"]["loop_s"] == [9.0, 9.4]
        session.stop_loop()
        session.seek(19.5)
        until(lambda: session.wait(0.1), "the file should end")
    mix = read(tmp_path / "take" / "mix.wav")
    assert found(mix, sound[10 * RATE : 10 * RATE + RATE // 10]) > 0
    seam = np.r_[round(9.4 * RATE) - 2_000 : round(9.4 * RATE), 9 * RATE : 9 * RATE + 2_000]
    assert found(mix, sound[seam]) > 0
    assert np.array_equal(mix[-RATE // 2 :], sound[-RATE // 2 :])
    assert found(mix, np.zeros((RATE // 20, 2), np.float32)) > 0


def stands(session: rtsep.Session) -> float:
    """Return the position where it does not move; 0 while it does."""
    before = session.place.position
    blocks = session.stats()["hops"] + 400
    until(lambda: session.stats()["hops"] > blocks)
    return before if session.place.position == before else 0.0


def test_what_cannot_be_is_refused(half, song):
    with rtsep.Session(song, out_device="virtual", model=half) as session:
        session.pause()
        for what, words in (
            (lambda: session.seek(1.5), "seek to 1.5 s: the file has 0 to 1.000 s"),
            (lambda: session.seek(-1), "seek to -1 s"),
            (lambda: session.seek(float("nan")), "seek to nan s"),
            (lambda: session.skip(float("nan")), "skip nan s: a number of seconds"),
            (
                lambda: session.loop(0.5, 0.55),
                "loop 0.5 to 0.55 s: a loop must have at least 0.1 s, within the 1.000 s",
            ),
            (lambda: session.loop(0.5, 2), "loop 0.5 to 2 s"),
            (lambda: session.loop(float("nan"), 1), "loop nan to 1 s"),
        ):
            with pytest.raises(UsageError) as error:
                what()
            assert words in str(error.value)
        session.resume()
        assert session.wait(60)
    with pytest.raises(UsageError, match="its file with it"):
        session.seek(0)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A file of 5 s that does not state its length."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    tone = ["-f", "lavfi", "-i", f"sine=440:d=5:r={RATE}"]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *tone, "-c:a", "aac", path], check=True)
    return path


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_in_a_file_of_unknown_length_absurd_positions_are_refused_and_others_end_it(half, film):
    with rtsep.Session(film, out_device="virtual", model=half) as session:
        session.pause()
        assert session.place.length is None
        for absurd in (1e9, 1e308, float("inf"), float("nan"), 10**400):
            for action in (
                lambda to=absurd: session.seek(to),
                lambda to=absurd: session.seek(-to),
                lambda to=absurd: session.skip(to),
                lambda to=absurd: session.skip(-to),
                lambda to=absurd: session.loop(0, to),
                lambda to=absurd: session.loop(to, None),
            ):
                with pytest.raises(UsageError) as error:
                    action()
                assert "\n" not in str(error.value)
                assert "1000000" in str(error.value)
        assert session.place.loop is None
        session.resume()
        session.seek(1e6)
        until(lambda: session.wait(0.1), "the file should end")


def test_after_the_end_the_position_stays_where_the_sound_ended(half, long_song):
    with rtsep.Session(long_song, out_device="virtual", model=half) as session:
        until(lambda: session.place.position > 1.0)
        before = session.place.position
    assert before <= session.place.position < before + 0.5
    assert session.stats()["file"]["position_s"] == pytest.approx(session.place.position, abs=1e-3)


def test_speed_and_key_while_it_plays_add_no_latency(half, tmp_path):
    path = tmp_path / "song.wav"
    sine = 0.5 * np.sin(2 * np.pi * 441 * np.arange(10 * RATE) / RATE)
    soundfile.write(path, np.stack([sine, sine], axis=1), RATE, subtype="FLOAT")
    how = {"out_device": "virtual", "model": half, "subtype": "FLOAT", "record": tmp_path / "take"}
    with rtsep.Session(path, speed=0.5, key=-3, **how) as session:
        assert session.place[-2:] == (0.5, -3.0)
        assert session.stats()["file"]["speed"] == 0.5
        before = session.latency
        until(lambda: session.place.position > 0.25)
        session.stretch(speed=1.5)
        until(lambda: session.place.position > 0.9)
        session.stretch(key=4)
        until(lambda: session.place.position > 1.6)
        session.stretch(1, 0)
        until(lambda: session.place.position > 2.2)
        assert session.latency == before
        with pytest.raises(UsageError, match=r"speed 1\.6: out of range"):
            session.stretch(1.6)
        assert session.stats()["source_starved_frames"] == 0
        session.switch_device(input=path)  # another file begins as it was recorded
        assert session.place[-2:] == (1.0, 0.0)
    mix = read(tmp_path / "take" / "mix.wav")[:, 0]
    found = [pitch(mix[at : at + RATE // 5]) for at in range(0, len(mix) - RATE // 5, RATE // 20)]
    for semitones in (-3, 4, 0):
        assert sum(abs(hz / (441 * 2 ** (semitones / 12)) - 1) < 0.002 for hz in found) >= 3, semitones
    assert np.abs(np.diff(mix, 2))[RATE // 10 :].max() < 0.05  # no click


def pitch(sound: np.ndarray) -> float:
    """Return the mean pitch of a sine, Hz; 0 for silence."""
    rising = np.flatnonzero((sound[:-1] < 0) & (sound[1:] >= 0))
    return float(RATE / np.diff(rising).mean()) if len(rising) > 2 else 0.0


def test_a_pause_counts_no_fault_and_the_file_ends_after_it(half, song):
    with rtsep.Session(song, out_device="virtual", model=half) as session:
        session.pause()
        until(lambda: session.place.paused and stands(session))
        session.resume()
        assert session.wait(60)
        stats = session.stats()
        assert stats["source_starved_frames"] == 0 and stats["file"]["position_s"] == 1.0


def test_a_new_file_is_repeated_from_its_first_frame_on_if_the_switch_says_so(half, song, tmp_path):
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros((RATE // 20, 2), np.float32), RATE)
    with rtsep.Session(song, out_device="virtual", model=half) as session:
        session.switch_device(input=song, loop=True)
        assert session.place.loop == (0.0, None)
        frames = session.stats()["hops"]
        until(lambda: session.place.position > 0.8)
        until(lambda: session.place.position < 0.5)  # it ended, and began again
        assert session.stats()["hops"] > frames and not session.wait(0)
        session.switch_device(out_device="virtual", loop=False)
        assert session.place.loop == (0.0, None)  # the file goes on as it was
        session.switch_device(input=short, loop=True)  # too short a loop: it plays once
        assert session.wait(60)
