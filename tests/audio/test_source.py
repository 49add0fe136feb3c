"""A played file: exactly its samples in the ring, at its own rate or another, and a clean end."""

from __future__ import annotations

import time

import numpy as np
import soundfile
import soxr

from rtsep.audio import rings as layout
from rtsep.audio.rings import Rings
from rtsep.audio.source import FileSource
from rtsep.files.audiofile import AudioReader
from tests.audio.bench import noise


def pull(rings: Rings, source: FileSource, frames: int) -> np.ndarray:
    """Take `frames` frames like a callback; wait for the reader if it is behind."""
    received = np.zeros((frames, rings.input.shape[1]), np.float32)
    ring = len(rings.input)
    for start in range(0, frames, 441):
        stop = min(start + 441, frames)
        until = time.monotonic() + 20
        while rings.state[layout.SOURCE_WRITE] < stop and rings.state[layout.SOURCE_END] > stop:
            assert time.monotonic() < until
            time.sleep(0.001)
        stop = min(stop, int(rings.state[layout.SOURCE_END]))
        received[start:stop] = rings.input[np.arange(start, stop) & (ring - 1)]
        rings.state[layout.IN_WRITE] = stop
    return received


def test_a_file_longer_than_the_ring_arrives_whole(tmp_path):
    x = noise(150_000)
    soundfile.write(tmp_path / "x.wav", x, 44100, "FLOAT")
    rings = Rings(44100, 2, [0, 1], 4)
    assert len(rings.input) < len(x)
    source = FileSource(AudioReader(tmp_path / "x.wav"), 44100, [0, 1])
    source.start(rings.state, rings.input)
    try:
        np.testing.assert_array_equal(pull(rings, source, len(x)), x)
        assert rings.state[layout.SOURCE_END] == len(x)
    finally:
        source.close()


def test_chosen_channels_of_a_file(tmp_path):
    x = noise(1000, 4)
    soundfile.write(tmp_path / "x.wav", x, 44100, "FLOAT")
    rings = Rings(44100, 2, [3, 0], 4)
    source = FileSource(AudioReader(tmp_path / "x.wav"), 44100, [3, 0])
    source.start(rings.state, rings.input)
    source.close()
    np.testing.assert_array_equal(rings.input[:1000], x[:, [3, 0]])


def test_another_rate_is_resampled_without_a_seam(tmp_path):
    t = np.arange(48000) / 48000
    x = (0.5 * np.sin(2 * np.pi * 997 * t)).astype(np.float32)[:, None]
    soundfile.write(tmp_path / "x.wav", x, 48000, "FLOAT")
    rings = Rings(44100, 1, [0], 2)
    source = FileSource(AudioReader(tmp_path / "x.wav"), 44100, [0])
    source.start(rings.state, rings.input)
    try:
        received = pull(rings, source, 44100)
        assert rings.state[layout.SOURCE_END] == 44100
    finally:
        source.close()
    whole = soxr.resample(x, 48000, 44100, quality="VHQ")
    np.testing.assert_allclose(received, whole[:44100], atol=1e-6)


def test_a_second_engine_continues_at_the_audible_position(tmp_path):
    x = noise(300_000, 2)
    soundfile.write(tmp_path / "x.wav", x, 44100, "FLOAT")
    source = FileSource(AudioReader(tmp_path / "x.wav"), 44100, [0])
    place = 0
    for played in (70_000, 100, 1, 90_001, 0):
        rings = Rings(44100, 1, [0], 2)
        source.start(rings.state, rings.input)
        try:
            received = pull(rings, source, played)
        finally:
            source.stop()
        np.testing.assert_array_equal(received, x[place : place + played, :1])
        assert rings.state[layout.SOURCE_WRITE] > played  # read ahead, and not lost
        source.go_back(max(0, played - 50))
        place += max(0, played - 50)
    last = Rings(44100, 2, [0, 1], 2)
    source.play_as(44100, [1, 0])
    source.start(last.state, last.input)
    try:
        left = len(x) - place
        np.testing.assert_array_equal(pull(last, source, left), x[place:, ::-1])
        assert last.state[layout.SOURCE_END] == left
    finally:
        source.close()


def test_an_engine_of_another_rate_goes_on_at_the_same_place(tmp_path):
    t = np.arange(6 * 48000) / 48000
    x = (0.5 * np.sin(2 * np.pi * 300 * t) * t / 6).astype(np.float32)[
        :, None
    ]  # its level gives the position
    soundfile.write(tmp_path / "x.wav", x, 48000, "FLOAT")
    source = FileSource(AudioReader(tmp_path / "x.wav"), 44100, [0])
    first, second = Rings(44100, 1, [0], 2), Rings(96000, 1, [0], 2)
    source.start(first.state, first.input)
    try:
        pull(first, source, 3 * 44100)
        source.stop()
        source.go_back(3 * 44100)
        source.play_as(96000, [0])
        source.start(second.state, second.input)
        received = pull(second, source, 3 * 96000)
        assert second.state[layout.SOURCE_END] == 3 * 96000
    finally:
        source.close()
    expected = soxr.resample(x[3 * 48000 :], 48000, 96000, quality="VHQ")
    np.testing.assert_allclose(received, expected, atol=1e-6)


def test_a_file_that_is_over_is_gone_back_into(tmp_path):
    x = noise(20_000, 1)
    soundfile.write(tmp_path / "x.wav", x, 44100, "FLOAT")
    source = FileSource(AudioReader(tmp_path / "x.wav"), 44100, [0])
    first, second = Rings(44100, 1, [0], 2), Rings(44100, 1, [0], 2)
    source.start(first.state, first.input)
    source.stop()
    assert first.state[layout.SOURCE_END] == len(x)
    source.go_back(5_000)
    source.start(second.state, second.input)
    source.close()
    assert second.state[layout.SOURCE_END] == second.state[layout.SOURCE_WRITE] == 15_000
    np.testing.assert_array_equal(second.input[:15_000], x[5_000:])
