"""Sample positions, counters and clocks as they are after 60 days at 192 kHz: nothing wraps, nothing drifts.

A product of frames and nanoseconds passes 64 bits after 53 hours at 48 kHz; a position in float64 that grows
for weeks loses the fraction by which two clocks are steered.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rtsep.audio import bursts, engine, hoploop, rings
from rtsep.audio import drift as clocks
from rtsep.audio.engine import Engine, StreamFormat
from rtsep.dsp.resample import frames_until
from rtsep.realtime import mask_exchange
from rtsep.realtime.atomics import release
from rtsep.realtime.clock import NS, frames_to_ns
from rtsep.session.recorder import STEMS, Recorder
from tests.audio.bench import Bench, noise, one_clock
from tests.e2e.exact import SUM_TOLERANCE, delayed
from tests.faults.box import RATE, Box
from tests.faults.rig import FaultRig
from tests.session.playing import read
from tests.session.test_recorder import fill, state_of
from tests.waiting import until

DAYS_60 = 60 * 24 * 3600
WRAP = 2**63 // NS
"""Frames whose product with a second in ns passes 64 bits: 53 hours at 48 kHz."""

MANY = 2**45
"""Hops, masks and calls as they are counted in far more than 60 days."""


def grow_old(aged: Engine, frames: int) -> int:
    """Make an engine that has not started one of some `frames` frames; return how many exactly."""
    state, pipeline = aged.state, aged._pipeline
    p, q = (int(x) for x in pipeline.bridge.ratio)
    steps = frames * p // q // int(pipeline.bridge.hop[0])
    frames = int(frames_until(pipeline.bridge, steps))
    pipeline.bridge.clock[0] = pipeline.step[0] = steps
    for slot in (rings.IN_WRITE, rings.IN_READ, rings.OUT_READ, rings.RECORD_WRITE):
        state[slot] = frames
    state[rings.OUT_WRITE] += frames
    state[rings.NEXT_HOP_AT] = frames + 1
    for slot in (
        rings.IN_CALLS,
        rings.HOPS,
        rings.LATE_MASKS,
        rings.IN_BURSTS + bursts.COUNT,
        rings.OUT_BURSTS + bursts.COUNT,
    ):
        state[slot] = MANY
    for slot in (mask_exchange.COLUMNS, mask_exchange.MODEL_STEPS):
        release(aged.exchange.header, slot, MANY)
    return frames


@given(
    frames=st.integers(-(2**40), 2**50),
    rate=st.sampled_from([1, 8000, 11025, 44100, 48000, 96000, 192000, 384000, 10_000_000]),
)
def test_frames_in_nanoseconds_are_exact_where_their_product_passes_64_bits(frames, rate):
    assume(abs(frames // rate) < 2**33)  # 272 years
    assert frames_to_ns(frames, rate) == frames * NS // rate


@pytest.mark.parametrize(
    ("rate", "age"),
    [
        (48000, WRAP - 20 * 256),
        (192000, WRAP - 20 * 256),
        (44100, 2 * WRAP - 20 * 256),
        (192000, DAYS_60 * 192000),
    ],
)
def test_an_old_engine_plays_as_a_young_one(rate, age):
    with Bench(one_clock(256, rate), lambda number, column: 0.5, begin=lambda e: grow_old(e, age)) as bench:
        state, hop_state = bench.engine.state, bench.engine._hop_state
        sound, out = noise(60 * 256), []
        for first in range(0, len(sound), 256):
            out.append(bench.call(sound[first : first + 256]))
            called = int(state[rings.OUT_LAST_NS])
            for at, position, of in (
                (rings.IN_BASE_NS, rings.IN_WRITE, rings.RATE),
                (rings.OUT_BASE_NS, rings.OUT_READ, rings.OUT_RATE),
            ):
                frames = int(state[position]) - (256 if at == rings.OUT_BASE_NS else 0)
                assert abs(int(state[at]) + frames * NS // int(state[of]) - called) < 60 * NS
            assert abs(hoploop._deadline(state, hop_state) - called) < 60 * NS
            for at in (rings.IN_BURSTS, rings.OUT_BURSTS):
                assert 0 <= state[at + bursts.HIGH] - state[at + bursts.LOW] < 60 * NS
        output = np.concatenate(out)
        assert bench.engine.counters()["underruns"] == bench.engine.counters()["overruns"] == 0
        assert bench.engine.counters()["hops"] > MANY
        assert all(number >= 0 for number in bench.engine.late_hops())
        expected = delayed(sound, bench.engine.latency.total, len(output))
    np.testing.assert_allclose(output[:, :2] + output[:, 2:], expected, rtol=0, atol=SUM_TOLERANCE)


def drifting(in_rate: int, out_rate: int, days: int, hops: int = 400) -> np.ndarray:
    """Return, for each hop between two clocks, how far ahead is written, and the correction in ppm."""
    hop, block = 256, 256
    format = StreamFormat(in_rate, 2, (0, 1), (0, 1, 2, 3), block, out_rate, block, two_clocks=True)
    bench = Bench(format, lambda n, column: 0.5)
    state, hop_state = bench.engine.state, bench.engine._hop_state
    seconds = days * 24 * 3600
    captured, played, start = seconds * in_rate, seconds * out_rate, seconds * NS
    state[rings.OUT_CALLS] = 1
    state[rings.IN_BASE_NS] = state[rings.OUT_BASE_NS] = 1
    state[rings.OUT_WRITE] = played
    feeds, found = np.zeros((3, 2, hop), np.float32), []
    for k in range(hops):
        now = start + (k + 1) * hop * NS // in_rate + 1_500_000
        # The output's clock is 200 ppm slower than the input's.
        state[rings.OUT_BASE_NS] = 1 + (k * hop * NS // in_rate) // 5000
        state[rings.OUT_READ] = played + (k * hop * out_rate // in_rate) // block * block
        state[rings.IN_WRITE] = state[rings.IN_READ] = captured + (k + 1) * hop
        hoploop._write_drifting(state, hop_state, feeds, now)
        found.append((int(state[rings.OUT_WRITE]) - played, hop_state.drift.correction[0] * 1e6))
    bench.shared.close()
    return np.array(found, np.float64)


@pytest.mark.parametrize(("in_rate", "out_rate"), [(192000, 192000), (192000, 44100), (48000, 192000)])
def test_two_clocks_are_followed_after_60_days_as_at_the_start(in_rate, out_rate):
    young, old = drifting(in_rate, out_rate, 0), drifting(in_rate, out_rate, 60)
    assert np.abs(young[-1, 1]) > 1  # it does steer
    assert np.abs(old[:, 0] - young[:, 0]).max() <= 1
    np.testing.assert_allclose(old[:, 1], young[:, 1], rtol=0, atol=0.05)


def test_a_correction_of_a_few_millionths_is_kept_for_ever():
    drift = clocks.make_drift(44100, 44100, 1, 256)
    out, block, blocks = np.zeros((1, 300), np.float32), np.zeros((1, 256), np.float32), 20_000
    drift.correction[0] = 5e-6
    count = sum(clocks.resample_block(drift, block, out) for _ in range(blocks))
    assert abs(count - 256 * blocks / (1 + 5e-6)) < 2
    assert abs(drift.position[0]) <= 256 + drift.table.shape[1], "no state of it grows"


def test_a_take_begins_and_ends_to_the_frame(tmp_path: Path):
    source, feeds = fill(1000)
    age = DAYS_60 * 192000 // source.tap.length * source.tap.length
    state_of(source)[rings.RECORD_WRITE] = age
    recorder = Recorder(tmp_path, source, "FLOAT", lambda _: None)
    state_of(source)[rings.RECORD_WRITE] = age + 1000
    files = recorder.stop()
    assert files
    for stem, feed in STEMS.items():
        np.testing.assert_array_equal(read(files[stem]), feeds[:, feed])


def test_a_session_plays_across_the_moment(half_model: Path, tmp_path: Path, monkeypatch):
    """Its input passes the frame whose time in ns no longer fits a product of 64 bits, while it records."""
    built = Engine.__init__

    def build_old(self: Engine, *given: object, **named: object) -> None:
        built(self, *given, **named)  # type: ignore[arg-type]
        grow_old(self, WRAP - 2 * RATE)

    monkeypatch.setattr(engine.Engine, "__init__", build_old)
    box = Box()
    box.put_in(monkeypatch)
    with FaultRig(box, half_model) as rig:
        before = rig.mark()
        rig.session.start_recording(tmp_path / "take")
        until(lambda: rig.session.engine.progress().captured > WRAP + RATE, "it should get there")
        files = rig.session.stop_recording()
        rig.ask(before, (), (), dry=False, new_stream=False)
        assert files
        mix = read(files["mix"])
        first = int(np.flatnonzero((box.sound == mix[0]).all(axis=1))[0])
        np.testing.assert_array_equal(mix, box.sound[(first + np.arange(len(mix))) % box.period])
