"""The recorder: aligned from the first frame, never over an earlier take, harmless when the disk is not."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from rtsep.audio import rings as r
from rtsep.audiofile import StemWriter
from rtsep.errors import OutputError
from rtsep.report.counters import percentiles
from rtsep.report.recorder import STEMS, Recorder, next_take
from tests.audio.bench import noise

RING = 1 << 12


def tape(frames: int):
    """A ring as a hop loop has filled it: [frames, feeds, channels], and its slots."""
    feeds = np.stack([noise(frames, seed=f) for f in range(4)], axis=1)
    ring = np.zeros((RING, 4, 2), np.float32)
    ring[np.arange(frames) & (RING - 1)] = feeds
    state = np.zeros(r.SLOT_COUNT, np.int64)
    state[r.SOURCE_END] = np.iinfo(np.int64).max
    state[r.RECORD_WRITE] = frames
    return feeds, ring, state


def test_files_begin_with_the_first_frame_of_input(tmp_path):
    feeds, ring, state = tape(3000)
    paths = Recorder(tmp_path, state, ring, 44100, 256, "FLOAT", None).stop()
    assert set(paths) == {"vocals", "instrumental", "mix"}
    for stem, feed in STEMS.items():
        written, rate = soundfile.read(paths[stem], dtype="float32")
        assert rate == 44100
        np.testing.assert_array_equal(written, feeds[256:, feed])


def test_a_limit_and_the_end_of_a_played_file_cut_alike(tmp_path):
    _, ring, state = tape(3000)
    paths = Recorder(tmp_path / "limit", state, ring, 44100, 0, "PCM_24", 1234).stop()
    assert soundfile.info(paths["vocals"]).frames == 1234
    state[r.SOURCE_END] = 777
    paths = Recorder(tmp_path / "end", state, ring, 44100, 0, "PCM_24", None).stop()
    assert soundfile.info(paths["mix"]).frames == 777


def test_frames_that_the_disk_was_too_slow_for_become_silence_of_the_same_length(tmp_path):
    feeds, ring, state = tape(2000)
    recorder = Recorder(tmp_path, state, ring, 44100, 0, "FLOAT", None)
    while recorder.writer.frames < 2000:
        pass
    # The loop went on for more than the ring holds before the recorder looked again.
    recorder._leaving.set()
    recorder._thread.join()
    state[r.RECORD_WRITE] = 2000 + RING
    ring[:, :, :] = 0.25
    paths = recorder.stop()
    assert recorder.lost_frames == RING // 2
    written, _ = soundfile.read(paths["vocals"], dtype="float32")
    assert len(written) == 2000 + RING
    np.testing.assert_array_equal(written[:2000], feeds[:, 0])
    np.testing.assert_array_equal(written[2000 : 2000 + RING // 2], 0)
    np.testing.assert_array_equal(written[2000 + RING // 2 :], 0.25)


def test_takes_are_never_overwritten_finished_or_not(tmp_path):
    assert next_take(tmp_path) == tmp_path
    (tmp_path / "vocals.wav").touch()
    assert next_take(tmp_path) == tmp_path / "take-2"
    (tmp_path / "take-2").mkdir()
    (tmp_path / "take-2" / "mix.part.wav").touch()
    assert next_take(tmp_path) == tmp_path / "take-3"


def test_a_disk_that_refuses_ends_the_recording_and_nothing_else(tmp_path, monkeypatch):
    _, ring, state = tape(1000)

    def refuse(self, blocks):
        raise OutputError("no space left")

    monkeypatch.setattr(StemWriter, "write", refuse)
    recorder = Recorder(tmp_path, state, ring, 44100, 0, "PCM_24", None)
    recorder._thread.join(20)
    assert not recorder._thread.is_alive()
    assert "no space" in str(recorder.failure)
    recorder.stop()


def test_a_folder_below_a_file_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "file").touch()
    _, ring, state = tape(10)
    with pytest.raises(OutputError, match="choose another folder"):
        Recorder(tmp_path / "file" / "takes", state, ring, 44100, 0, "PCM_24", None)


def test_clipped_samples_are_counted(tmp_path):
    writer = StemWriter(tmp_path, ("vocals",), 44100, 1, "PCM_24")
    writer.write({"vocals": np.array([[0.5], [1.5], [-2.0], [1.0]], np.float32)})
    writer.close()
    assert writer.clipped_samples == 2


def test_percentiles_are_never_better_than_what_was_measured():
    durations_us = np.random.default_rng(0).gamma(3, 300, 5000)
    histogram = np.bincount(
        np.minimum(durations_us * 1000 // r.HISTOGRAM_STEP_NS, r.HISTOGRAM_BINS - 1).astype(int),
        minlength=r.HISTOGRAM_BINS,
    )
    found = percentiles(histogram)
    for name, share in (("p50", 50), ("p99", 99), ("p99.9", 99.9), ("max", 100)):
        exact = np.sort(durations_us)[min(4999, int(share * 50))]
        assert exact <= found[name] <= exact + r.HISTOGRAM_STEP_NS / 1000
    assert percentiles(np.zeros(r.HISTOGRAM_BINS, np.int64))["max"] == 0
