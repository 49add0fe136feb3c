"""A take: from its first frame aligned, in time where the disk is not, and flat in memory for hours."""

from __future__ import annotations

import errno
import json
import mmap
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.audio import record_tap, rings
from rtsep.audio.record_tap import RecordTap
from rtsep.errors import OutputError, UsageError
from rtsep.files.wavfile import WavFile
from rtsep.session import recorder as recording
from rtsep.session.recorder import STEMS, Recorder, Recordings, RecordSource, next_take
from tests.audio.bench import noise
from tests.session.disk import PATIENCE_S, stall

RING = 1 << 12


def fill(frames: int, delay: int = 0, max_frames: int | None = None, rate: int = 44100):
    """Return a source as a hop loop has filled it, and the feeds on it [frames, feeds, channels]."""
    feeds = np.stack([noise(frames, seed=f) for f in range(4)], axis=1)
    ring = np.zeros((RING, 4, 2), np.float32)
    ring[np.arange(frames) & (RING - 1)] = feeds
    state = np.zeros(rings.STATE_SIZE, np.int64)
    state[rings.SOURCE_END] = np.iinfo(np.int64).max
    return RecordSource(RecordTap(state, ring, rate, delay), max_frames), feeds


def state_of(source: RecordSource) -> np.ndarray:
    """The state that a hop loop would write."""
    return source.tap._state


def record(
    folder, source: RecordSource, frames: int, subtype: str = "FLOAT", notify=lambda _: None
) -> Recorder:
    """Return a recorder of `source`, whose hop loop then went on to `frames`."""
    recorder = Recorder(folder, source, subtype, notify)
    state_of(source)[rings.RECORD_WRITE] = frames
    return recorder


def read(path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


@pytest.fixture
def said() -> list[str]:
    """Lines for the user, in order."""
    return []


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Look often, with a disk that has room."""
    monkeypatch.setattr(recording, "_LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, 10**12))


# --- what is in the files ----------------------------------------------------------------------------


def test_files_begin_with_the_first_frame_of_input(tmp_path):
    source, feeds = fill(3000, delay=256)
    paths = record(tmp_path, source, 3000).stop()
    assert set(paths) == {"vocals", "instrumental", "mix"}
    for stem, feed in STEMS.items():
        np.testing.assert_array_equal(read(paths[stem]), feeds[256:, feed])
        assert soundfile.info(paths[stem]).samplerate == 44100


def test_a_later_take_begins_with_the_hop_that_is_next(tmp_path):
    source, feeds = fill(3000, delay=256)
    state_of(source)[rings.RECORD_WRITE] = 1280
    paths = record(tmp_path, source, 3000).stop()
    for stem, feed in STEMS.items():
        np.testing.assert_array_equal(read(paths[stem]), feeds[1280:, feed])


@pytest.mark.parametrize("begun_at", [0, 512])
def test_a_limit_and_the_end_of_a_played_file_cut_alike(tmp_path, begun_at):
    source, _ = fill(3000, delay=256, max_frames=1234)
    state_of(source)[rings.RECORD_WRITE] = begun_at
    missed = max(0, begun_at - 256)
    paths = record(tmp_path / "limit", source, 3000, "PCM_24").stop()
    assert soundfile.info(paths["vocals"]).frames == 1234 - missed
    source = source._replace(max_frames=None)
    state_of(source)[rings.SOURCE_END] = 777
    state_of(source)[rings.RECORD_WRITE] = begun_at
    paths = record(tmp_path / "end", source, 3000, "PCM_24").stop()
    assert soundfile.info(paths["mix"]).frames == 777 - missed


def test_a_take_of_nothing_leaves_nothing(tmp_path):
    source, _ = fill(10)
    assert record(tmp_path, source, 0).stop() is None
    assert list(tmp_path.iterdir()) == []


def test_takes_are_never_overwritten_finished_or_not(tmp_path):
    assert next_take(tmp_path) == tmp_path
    (tmp_path / "vocals.wav").touch()
    assert next_take(tmp_path) == tmp_path / "take-2"
    (tmp_path / "take-2").mkdir()
    (tmp_path / "take-2" / "mix.part.wav").touch()
    assert next_take(tmp_path) == tmp_path / "take-3"


def test_what_is_no_folder_of_ours_counts_as_taken(tmp_path, monkeypatch):
    (tmp_path / "vocals.wav").touch()
    (tmp_path / "take-2").touch()
    (tmp_path / "take-3").symlink_to("take-3")
    (tmp_path / "take-4").mkdir()
    look = os.lstat

    def barred(path):
        if "take-4" in str(path) and str(path).endswith(".wav"):  # a root user may read every folder
            raise PermissionError(errno.EACCES, "Permission denied")
        return look(path)

    monkeypatch.setattr(os, "lstat", barred)
    assert next_take(tmp_path) == tmp_path / "take-5"


def test_a_folder_that_cannot_be_read_is_one_error(tmp_path, monkeypatch):
    def dead(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "lstat", dead)
    with pytest.raises(OutputError, match="Input/output error"):
        next_take(tmp_path)


def test_a_take_that_another_process_has_just_begun_is_not_overwritten(tmp_path, monkeypatch):
    source, _ = fill(10)
    (tmp_path / "instrumental.wav").write_text("another's")
    monkeypatch.setattr(recording, "next_take", lambda folder: folder)  # it came after the look
    with pytest.raises(OutputError, match=r"instrumental\.wav: already exists"):
        Recorder(tmp_path, source, "FLOAT", lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["instrumental.wav"]
    assert (tmp_path / "instrumental.wav").read_text() == "another's"


def test_a_folder_below_a_file_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    source, _ = fill(10)
    with pytest.raises(OutputError, match="choose another folder"):
        Recorder(tmp_path / "file" / "takes", source, "PCM_24", lambda _: None)


# --- a disk that is slow -----------------------------------------------------------------------------


def test_frames_that_the_disk_was_too_slow_for_become_silence_of_the_same_length(tmp_path, said, monkeypatch):
    source, feeds = fill(2000)
    stalled, go_on = stall(monkeypatch)
    recorder = record(tmp_path, source, 2000, notify=said.append)
    assert stalled.wait(PATIENCE_S)
    source.tap._ring[:] = 0.25  # the loop goes on for more than the ring holds
    state_of(source)[rings.RECORD_WRITE] = 2000 + RING
    go_on.set()
    paths = recorder.stop()
    assert recorder.lost_frames == RING // 2
    for stem, feed in STEMS.items():
        written = read(paths[stem])
        assert len(written) == 2000 + RING
        np.testing.assert_array_equal(written[:2000], feeds[:, feed])
        np.testing.assert_array_equal(written[2000 : 2000 + RING // 2], 0)
        np.testing.assert_array_equal(written[2000 + RING // 2 :], 0.25)
    assert len(said) == 2
    assert "too slow" in said[0]
    assert f"{RING // 2} frames" in said[1]


def test_what_was_overwritten_while_it_was_copied_is_silence_too(tmp_path, monkeypatch):
    source, _ = fill(1000)
    source.tap._ring[:] = 0.25
    looks = 0

    def acquire_late(state, slot):
        # Between the look at the ring and the one behind the copy, the loop goes round.
        nonlocal looks
        value = int(state[slot])
        if slot == rings.RECORD_WRITE and value == 1000:
            looks += 1
            if looks == 3:
                state[slot] = 1000 + RING
        return value

    monkeypatch.setattr(record_tap, "acquire", acquire_late)
    recorder = record(tmp_path, source, 1000)
    while state_of(source)[rings.RECORD_WRITE] == 1000:
        pass
    paths = recorder.stop()
    written = read(paths["mix"])
    assert len(written) == 1000 + RING
    assert recorder.lost_frames == np.count_nonzero(written[:, 0] == 0) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="memory is asked for by POSIX means")
def test_hours_go_through_in_flat_memory(tmp_path, monkeypatch):
    """Eight hours, mono at 8 kHz, as fast as they go; the disk drops what it gets."""
    rate, ring_frames = 8000, 1 << 17
    ring = np.random.default_rng(0).uniform(-1, 1, (ring_frames, 4, 1)).astype(np.float32)
    state = np.zeros(rings.STATE_SIZE, np.int64)
    state[rings.SOURCE_END] = np.iinfo(np.int64).max
    monkeypatch.setattr(recording, "_LOOK_EVERY_S", 0)
    write_at, kept = WavFile._write_at, 0

    def drop(self, place, content):
        nonlocal kept
        kept += len(content)
        if place == 0:
            write_at(self, place, content)

    monkeypatch.setattr(WavFile, "_write_at", drop)
    recorder = Recorder(
        tmp_path, RecordSource(RecordTap(state, ring, rate, 0), None), "PCM_16", lambda _: None
    )
    total, sizes = 8 * 3600 * rate, []
    for frames in range(0, total, ring_frames // 2):
        while frames - recorder.writer.frames > ring_frames // 4:  # a loop that is never too far ahead
            recorder._leaving.wait(0.0002)
        state[rings.RECORD_WRITE] = min(total, frames + ring_frames // 2)
        if frames % (ring_frames * 32) == 0:
            sizes.append(resident_bytes())
    recorder.stop()
    assert recorder.lost_frames == 0
    assert recorder.writer.frames == total
    assert kept > 3 * 2 * total
    assert sizes[-1] - sizes[1] < 8 << 20, sizes


def resident_bytes() -> int:
    """Return what this process holds in memory, now (Linux) or at most so far."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * mmap.PAGESIZE
    import resource  # POSIX

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# --- a disk that refuses -----------------------------------------------------------------------------


def test_a_disk_that_fills_up_ends_the_take_and_leaves_files_of_one_length(tmp_path, said, monkeypatch):
    source, feeds = fill(3000)
    append = WavFile.append

    def refuse(self, block):
        if self.path.stem == "instrumental" and self.frames + len(block) > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, block)

    monkeypatch.setattr(WavFile, "append", refuse)
    recorder = record(tmp_path, source, 1000, notify=said.append)
    while recorder.writer.frames < 1000:
        pass
    state_of(source)[rings.RECORD_WRITE] = 3000
    recorder._thread.join(PATIENCE_S)
    assert not recorder._thread.is_alive()
    assert recorder.state.failure and "No space left" in recorder.state.failure
    assert len(said) == 1
    for part in (
        "recording stopped",
        "No space left",
        "free some space",
        str(tmp_path),
        "the audio continues",
    ):
        assert part in said[0]
    for stem, feed in STEMS.items():  # before anybody asks it to stop
        np.testing.assert_array_equal(read(tmp_path / f"{stem}.wav"), feeds[:1000, feed])
    assert recorder.stop() == {stem: tmp_path / f"{stem}.wav" for stem in STEMS}


@pytest.mark.parametrize("call", ["fsync", "header"])
def test_a_disk_that_is_full_just_when_the_files_are_closed(tmp_path, said, monkeypatch, call):
    source, feeds = fill(1000)
    recorder = record(tmp_path, source, 1000, notify=said.append)
    while recorder.writer.frames < 1000:
        pass

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", refuse)
    else:
        monkeypatch.setattr(WavFile, "update_header", refuse)
    paths = recorder.stop()
    assert len(said) == 1
    assert "No space left" in said[0]
    for stem, feed in STEMS.items():
        np.testing.assert_array_equal(read(paths[stem]), feeds[:, feed])


def test_it_tells_once_when_the_room_gets_low(tmp_path, said, monkeypatch):
    source, _ = fill(1000)
    bytes_a_minute = 44100 * 2 * 3 * 3 * 60
    free = 11 * bytes_a_minute
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, free))
    monkeypatch.setattr(recording, "_SYNC_EVERY_S", 0)
    recorder = record(tmp_path, source, 1000, "PCM_24", said.append)
    while recorder.writer.frames < 1000:
        pass
    assert said == []
    free = 9 * bytes_a_minute
    while not said:
        pass
    free = 8 * bytes_a_minute
    recorder.stop()
    assert said == [f"{tmp_path}: the disk has space for only 9 more minutes of recording; free some space"]


def test_it_tells_before_the_start_when_the_room_is_low(tmp_path, said, monkeypatch):
    source, _ = fill(10)
    free = 20 * 44100 * 2 * 3 * 3
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, free))
    recorder = Recorder(tmp_path, source, "PCM_24", said.append)
    assert said == [f"{tmp_path}: the disk has space for only 20 more seconds of recording; free some space"]
    recorder.stop()


# --- the recordings of a session ---------------------------------------------------------------------


def test_takes_start_and_stop_while_engines_come_and_go(tmp_path, said):
    recordings = Recordings("FLOAT", said.append)
    assert recordings.state is None
    assert recordings.stop() is None
    recordings.start(tmp_path)  # before anything plays
    assert recordings.state.seconds == 0
    assert recordings.stop() is None
    recordings.start(tmp_path)

    first, feeds = fill(1000, delay=100)
    recordings.attach(first)
    state_of(first)[rings.RECORD_WRITE] = 400
    with pytest.raises(UsageError, match="is already running"):
        recordings.start(tmp_path)
    assert recordings.stop() == {stem: tmp_path / f"{stem}.wav" for stem in STEMS}
    recordings.start(tmp_path)
    assert json.dumps(recordings.state.as_json())
    assert recordings.state.folder == tmp_path / "take-2"
    state_of(first)[rings.RECORD_WRITE] = 1000
    recordings.detach()  # the device is gone

    second, others = fill(500)
    recordings.attach(second)
    state_of(second)[rings.RECORD_WRITE] = 500
    recordings.detach()
    recordings.stop()
    third, _ = fill(500)
    recordings.attach(third)  # stopped while there was nothing to play
    assert recordings.state is None
    recordings.detach()

    folders = [tmp_path, tmp_path / "take-2", tmp_path / "take-3"]
    assert recordings.finished == [{stem: folder / f"{stem}.wav" for stem in STEMS} for folder in folders]
    for folder, expected in zip(folders, (feeds[100:400], feeds[400:], others), strict=True):
        np.testing.assert_array_equal(read(folder / "mix.wav"), expected[:, STEMS["mix"]])
    assert said == []


def test_after_a_failure_the_next_take_is_for_the_user_to_start(tmp_path, said, monkeypatch):
    recordings = Recordings("FLOAT", said.append)
    source, _ = fill(1000)
    recordings.attach(source)
    with monkeypatch.context() as broken:
        broken.setattr(WavFile, "append", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        recordings.start(tmp_path)
        state_of(source)[rings.RECORD_WRITE] = 1000
        while not recordings.state.failure:
            pass
        recordings.detach()
    source, feeds = fill(1000)
    recordings.attach(source)
    assert recordings.state is None
    recordings.start(tmp_path)
    state_of(source)[rings.RECORD_WRITE] = 1000
    np.testing.assert_array_equal(read(recordings.stop()["vocals"]), feeds[:, STEMS["vocals"]])
    assert len(said) == 1


@pytest.mark.parametrize("refuses", ["make_folder", "Recorder"])
@pytest.mark.parametrize("failed", [True, False], ids=["after a failed take", "after no take"])
def test_a_refused_start_leaves_no_recording_behind(tmp_path, said, monkeypatch, refuses, failed):
    recordings = Recordings("FLOAT", said.append)
    source, feeds = fill(1000)
    recordings.attach(source)
    if failed:
        with monkeypatch.context() as broken:
            broken.setattr(
                WavFile, "append", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error"))
            )
            recordings.start(tmp_path)
            state_of(source)[rings.RECORD_WRITE] = 1000
            while not recordings.state.failure:
                pass
    before = recordings.state
    with monkeypatch.context() as full:
        full.setattr(recording, refuses, lambda *_: (_ for _ in ()).throw(OutputError("the disk is full")))
        for _ in range(2):  # the key is pressed again
            with pytest.raises(OutputError, match="the disk is full"):
                recordings.start(tmp_path)
            assert recordings.state == before
    state_of(source)[rings.RECORD_WRITE] = 0
    recordings.start(tmp_path)  # some space was made
    state_of(source)[rings.RECORD_WRITE] = 1000
    np.testing.assert_array_equal(read(recordings.stop()["vocals"]), feeds[:, STEMS["vocals"]])
