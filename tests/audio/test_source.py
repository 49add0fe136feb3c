"""A played file: exactly its samples in the ring, at its own rate or another, and a clean end."""

from __future__ import annotations

import time

import numpy as np
import soundfile
import soxr

from rtsep.audio import rings as r
from rtsep.audio.rings import Rings
from rtsep.audio.source import FileSource
from rtsep.audiofile import AudioReader
from tests.audio.bench import noise


def pull(rings: Rings, source: FileSource, frames: int) -> np.ndarray:
    """Let `frames` frames be heard as a callback would, waiting for the reader where it is behind."""
    heard = np.zeros((frames, rings.input.shape[1]), np.float32)
    ring = len(rings.input)
    for start in range(0, frames, 441):
        stop = min(start + 441, frames)
        until = time.monotonic() + 20
        while rings.slots[r.SOURCE_WRITE] < stop and rings.slots[r.SOURCE_END] > stop:
            assert time.monotonic() < until
            time.sleep(0.001)
        stop = min(stop, int(rings.slots[r.SOURCE_END]))
        heard[start:stop] = rings.input[np.arange(start, stop) & (ring - 1)]
        rings.slots[r.IN_WRITE] = stop
    return heard


def test_a_file_longer_than_the_ring_arrives_whole(tmp_path):
    x = noise(150_000)
    soundfile.write(tmp_path / "x.wav", x, 44100, "FLOAT")
    rings = Rings(44100, 2, [0, 1], 4)
    assert len(rings.input) < len(x)
    source = FileSource(AudioReader(tmp_path / "x.wav"), 44100, [0, 1])
    source.start(rings.slots, rings.input)
    try:
        np.testing.assert_array_equal(pull(rings, source, len(x)), x)
        assert rings.slots[r.SOURCE_END] == len(x)
    finally:
        source.close()


def test_chosen_channels_of_a_file(tmp_path):
    x = noise(1000, 4)
    soundfile.write(tmp_path / "x.wav", x, 44100, "FLOAT")
    rings = Rings(44100, 2, [3, 0], 4)
    source = FileSource(AudioReader(tmp_path / "x.wav"), 44100, [3, 0])
    source.start(rings.slots, rings.input)
    source.close()
    np.testing.assert_array_equal(rings.input[:1000], x[:, [3, 0]])


def test_another_rate_is_resampled_without_a_seam(tmp_path):
    t = np.arange(48000) / 48000
    x = (0.5 * np.sin(2 * np.pi * 997 * t)).astype(np.float32)[:, None]
    soundfile.write(tmp_path / "x.wav", x, 48000, "FLOAT")
    rings = Rings(44100, 1, [0], 2)
    source = FileSource(AudioReader(tmp_path / "x.wav"), 44100, [0])
    source.start(rings.slots, rings.input)
    try:
        heard = pull(rings, source, 44100)
        assert rings.slots[r.SOURCE_END] == 44100
    finally:
        source.close()
    whole = soxr.resample(x, 48000, 44100, quality="VHQ")
    np.testing.assert_allclose(heard, whole[:44100], atol=1e-6)


def test_a_second_engine_goes_on_where_the_first_was_read_to(tmp_path):
    x = noise(200_000, 1)
    soundfile.write(tmp_path / "x.wav", x, 44100, "FLOAT")
    source = FileSource(AudioReader(tmp_path / "x.wav"), 44100, [0])
    first = Rings(44100, 1, [0], 2)
    source.start(first.slots, first.input)
    source.stop()
    read = int(first.slots[r.SOURCE_WRITE])
    second = Rings(44100, 1, [0], 2)
    source.start(second.slots, second.input)
    source.close()
    np.testing.assert_array_equal(second.input[:1000], x[read : read + 1000])
