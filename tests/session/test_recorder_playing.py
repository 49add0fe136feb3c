"""Takes beside a hop loop that plays: each begins with a hop, and no hop waits for a disk."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import soundfile

from rtsep.errors import NoThreadError, OutputError
from rtsep.session.recorder import Recordings, RecordSource
from tests.audio.bench import Bench, noise, one_clock
from tests.session.disk import PATIENCE_S, stall

HOP = 256


@pytest.fixture
def bench():
    with Bench(one_clock(HOP), lambda number, column: ((number * 5) % 8) / 8) as bench:
        yield bench


def source_of(bench: Bench) -> RecordSource:
    return RecordSource(bench.engine.record_tap, None)


def read(path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def test_each_take_is_a_stretch_of_the_input_from_a_hop_on(bench, tmp_path):
    recordings, delay = Recordings("FLOAT", lambda _: None), bench.engine.feed_delay
    sound, played, begun = noise(40 * HOP), itertools.count(), []
    recordings.start(tmp_path)
    recordings.attach(source_of(bench))
    begun.append(0)
    for take, hops in enumerate((7, 10, 5)):
        for _ in range(hops):
            n = next(played)
            bench.call(sound[n * HOP : (n + 1) * HOP])
        recordings.stop()
        if take < 2:
            for _ in range(3):  # between the takes
                n = next(played)
                bench.call(sound[n * HOP : (n + 1) * HOP])
            begun.append(bench.engine.progress().recordable - delay)
            recordings.start(tmp_path)
    ended = [begun[1] - 3 * HOP, begun[2] - 3 * HOP, bench.engine.progress().recordable - delay]
    assert [path["mix"].parent.name for path in recordings.finished] == [tmp_path.name, "take-2", "take-3"]
    for paths, start, end in zip(recordings.finished, begun, ended, strict=True):
        vocals, instrumental, mix = (read(paths[stem]) for stem in ("vocals", "instrumental", "mix"))
        np.testing.assert_array_equal(mix, sound[start:end])
        assert len(vocals) == len(instrumental) == end - start > 0
        np.testing.assert_allclose(vocals + instrumental, mix, rtol=0, atol=2**-24)
    recordings.detach()


def test_a_stalled_disk_costs_frames_of_the_take_and_no_hop(bench, tmp_path, monkeypatch):
    said: list[str] = []
    recordings, delay = Recordings("FLOAT", said.append), bench.engine.feed_delay
    recordings.attach(source_of(bench))
    recordings.start(tmp_path)
    with monkeypatch.context() as slow:
        stalled, go_on = stall(slow)
        hops = bench.engine.record_tap.length // HOP + 100  # more than the ring holds
        sound = noise(hops * HOP)
        bench.play(sound[: 4 * HOP])
        assert stalled.wait(PATIENCE_S)
        out = bench.play(sound[4 * HOP :])
        assert bench.engine.counters()["hops"] == hops
        assert bench.engine.counters()["underruns"] == bench.engine.counters()["overruns"] == 0
        np.testing.assert_allclose(  # and it was audible, all along
            (out[:, :2] + out[:, 2:])[-HOP:],
            sound[-bench.engine.latency.total - HOP : -bench.engine.latency.total],
            rtol=0,
            atol=1e-6,
        )
        assert recordings.state.lost_frames == 0  # not known before the disk answers
        go_on.set()
        mix = read(recordings.stop()["mix"])
    recordings.detach()
    assert len(mix) == hops * HOP - delay
    lost = ~mix.any(axis=1)
    assert np.count_nonzero(np.diff(lost.astype(int))) == 2  # one gap, with sound on both sides
    np.testing.assert_array_equal(mix[~lost], sound[: len(mix)][~lost])
    assert any(f"{np.count_nonzero(lost)} frames" in line for line in said)


def test_the_ring_is_filled_whether_or_not_anybody_records(bench):
    sound = noise(8 * HOP)
    bench.play(sound)
    delay, tap = bench.engine.feed_delay, bench.engine.record_tap
    np.testing.assert_array_equal(tap.copy(delay, 8 * HOP - delay)[:, 3], sound[: 8 * HOP - delay])
    assert tap.length >= 8 * 44100


def test_a_take_without_a_thread_is_refused_and_leaves_no_file(bench, tmp_path, no_threads):
    recordings = Recordings("FLOAT", lambda _: None)
    recordings.attach(source_of(bench))
    with pytest.raises(OutputError, match="raise the limit of processes"):
        recordings.start(tmp_path)
    assert not list(tmp_path.rglob("*.wav")) and recordings.state is None
    recordings.detach()


def test_an_engine_without_a_thread_can_still_be_ended(no_threads):
    bench = Bench(one_clock(HOP), lambda number, column: 1.0)
    with pytest.raises(NoThreadError, match="raise the limit of processes"):
        bench.engine.start()
    bench.engine.stop()
    bench.shared.close()
