"""Two clocks: the loop that follows them, in a simulation where their difference is known."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.audio import drift as clocks
from rtsep.audio import rings
from rtsep.audio.engine import StreamFormat
from rtsep.audio.hoploop import LATE_HOPS, _write_drifting
from tests.audio.bench import Bench


def closed_loop(
    ppm: float, in_rate: int, out_rate: int, seconds: float, target: float = 2000.0, hop: int = 256
):
    """Run the correction against an output clock that is off by `ppm`; returns fills, corrections, sound."""
    drift = clocks.make_drift(in_rate, out_rate, 1, hop)
    out = np.zeros((1, 2 * hop * out_rate // in_rate + 300), np.float32)
    true_rate = out_rate * (1 + ppm * 1e-6)
    jitter = np.random.default_rng(0).exponential(1e-4, int(seconds * in_rate / hop))
    written, fills, corrections, sound = target, [], [], []
    for k, late in enumerate(jitter):
        t = np.arange(k * hop, (k + 1) * hop) / in_rate
        count = clocks.resample_block(drift, np.sin(2 * np.pi * 1000 * t).astype(np.float32)[None], out)
        written += count
        sound.append(out[0, :count].copy())
        fill = written - ((k + 1) * hop / in_rate + late) * true_rate
        clocks.correct(drift, fill, target, hop / in_rate)
        fills.append(fill)
        corrections.append(drift.correction[0] * 1e6)
    return np.array(fills), np.array(corrections), np.concatenate(sound)


@pytest.mark.parametrize(
    ("ppm", "out_rate", "hop"),
    [(300, 44100, 256), (-500, 44100, 256), (40, 48000, 256), (-40, 32000, 256), (300, 48000, 4134)],
)
def test_the_distance_settles_at_its_target_and_stays(ppm, out_rate, hop):
    fills, corrections, _ = closed_loop(ppm, 44100, out_rate, 60, hop=hop)
    settled = slice(len(fills) * 2 // 3, None)
    assert abs(fills[settled].mean() - 2000) < 10
    assert np.abs(fills[settled] - 2000).max() < 40  # jitter of the test's clock: 4.4 frames a 100 us
    assert abs(corrections[settled].mean() + ppm) < 10
    assert np.abs(fills - 2000).max() < 150  # on the way there too


def test_a_tone_stays_a_tone():
    """Settled, the correction must not wobble audibly: the tone's frequency within 20 ppm, its error low."""
    _, _, sound = closed_loop(200, 44100, 44100, 60)
    tail = sound[-44100 * 10 :].astype(np.float64)
    t = np.arange(len(tail)) / (44100 * (1 + 200e-6))
    basis = np.exp(-2j * np.pi * 1000 * t)
    phase = np.unwrap(np.angle(np.convolve(tail * basis, np.ones(4410) / 4410, "valid")[::441]))
    wobble_hz = np.diff(phase) / (2 * np.pi) / (441 / 44100)
    assert np.abs(wobble_hz).max() < 1000 * 60e-6


def test_correction_is_limited():
    drift = clocks.make_drift(44100, 44100, 1, 256)
    for _ in range(2000):
        clocks.correct(drift, 50000.0, 1000.0, 256 / 44100)
    assert drift.correction[0] == clocks.LIMIT


@pytest.mark.parametrize("step_s", [0.02, 0.05, -0.02, -0.05])
def test_a_step_of_the_distance_hardly_swings_to_the_other_side(step_s):
    """As when the output was held up: less than the slack of any engine."""
    drift, hop, rate = clocks.make_drift(44100, 44100, 1, 256), 256, 44100
    errors, fill = [], step_s * rate
    for _ in range(60 * rate // hop):
        clocks.correct(drift, fill, 0.0, hop / rate)
        fill -= hop * drift.correction[0]
        errors.append(fill / step_s / rate)
    assert min(errors) * abs(step_s) > -0.002
    assert abs(errors[-1]) < 0.01
    assert abs(drift.integral[0]) < 20e-6


def test_fewer_or_more_frames_follow_the_sign_of_the_correction():
    counts = {}
    for correction in (-0.004, 0.0, 0.004):
        drift = clocks.make_drift(44100, 44100, 1, 256)
        drift.correction[0] = correction
        out = np.zeros((1, 600), np.float32)
        counts[correction] = sum(
            clocks.resample_block(drift, np.zeros((1, 256), np.float32), out) for _ in range(100)
        )
    assert counts[-0.004] > counts[0.0] > counts[0.004]
    # position starts half a filter early: those 32 frames come on top
    assert abs(counts[0.004] - (25600 + 32) / 1.004) < 40


BLOCK = HOP = 256
RATE = 44100
FEEDS = np.zeros((3, 2, HOP), np.float32)


@pytest.fixture
def apart():
    """The state and the hop_state of an engine between two clocks, which the test moves by hand."""
    format = StreamFormat(RATE, 2, (0, 1), (0, 1, 2, 3), BLOCK, RATE, BLOCK, two_clocks=True)
    bench = Bench(format, lambda n, column: 0.5)
    state = bench.engine.state
    state[rings.OUT_CALLS] = 1
    state[rings.IN_BASE_NS] = state[rings.OUT_BASE_NS] = 1
    yield state, bench.engine._hop_state
    bench.shared.close()


@pytest.mark.parametrize(("gap_ms", "resyncs"), [(0, 0), (8, 0), (15, 1), (30, 1)])
def test_a_gap_of_the_input_is_audible_once_without_a_crackle_after_it(apart, gap_ms, resyncs):
    """Hops by a clock of the test's own; the input loses `gap_ms`, the output plays on."""
    (state, hop_state), lost = apart, []
    for k in range(400):
        if k == 200:
            state[rings.IN_BASE_NS] += gap_ms * 1_000_000
        now = int(state[rings.IN_BASE_NS] + (k + 1) * HOP * 1e9 / RATE) + 1_500_000  # a model's time later
        state[rings.OUT_READ] = int((now - 1) * 1e-9 * RATE) // BLOCK * BLOCK + BLOCK
        state[rings.IN_WRITE] = state[rings.IN_READ] = (k + 1) * HOP
        _write_drifting(state, hop_state, FEEDS, now)
        lost.append(state[rings.OUT_WRITE] < state[rings.OUT_READ])
    assert state[rings.RESYNCS] - 1 == resyncs
    assert not any(lost[2:200]) and sum(lost[200:]) <= LATE_HOPS + 1
    assert not any(lost[210:])


def test_a_hop_loop_that_was_held_up_catches_up_where_it_was(apart):
    state, hop_state = apart
    for k in range(300):
        now = int((k + 1) * HOP * 1e9 / RATE) + 1_500_000
        if 200 <= k < 206:
            now = int(206 * HOP * 1e9 / RATE) + (k - 200) * 200_000  # six at once, five of them late
        state[rings.OUT_READ] = int(now * 1e-9 * RATE) // BLOCK * BLOCK + BLOCK
        state[rings.IN_READ] = (k + 1) * HOP
        _write_drifting(state, hop_state, FEEDS, now)
    assert state[rings.RESYNCS] == 1, "the start"
    assert state[rings.OUT_WRITE] > state[rings.OUT_READ]


@pytest.mark.parametrize("cause", ["slack", "gap of the input"])
def test_after_a_reset_of_the_position_the_gap_is_silent(cause):
    block, rate = 256, 44100
    form = StreamFormat(rate, 2, (0, 1), (0, 1, 2, 3), block, rate, block, two_clocks=True)
    bench = Bench(form, lambda number, column: 0.5)
    state, ring = bench.engine.state, bench.engine.output_ring
    loud, silent = np.full((5, 2, block), 0.5, np.float32), np.zeros((5, 2, block), np.float32)
    state[rings.OUT_CALLS] = state[rings.IN_BASE_NS] = state[rings.OUT_BASE_NS] = 1
    round_hops, gaps = len(ring) // block, 0
    for k in range(round_hops + 130):
        if k == round_hops + 100 and cause == "slack":
            state[rings.ADDED] = 2000
        elif k == round_hops + 100:
            state[rings.IN_BASE_NS] += 30_000_000
        now = int(state[rings.IN_BASE_NS] + (k + 1) * block * 1e9 / rate) + 1_500_000
        state[rings.OUT_READ] = int((now - 1) * 1e-9 * rate) // block * block + block
        state[rings.IN_WRITE] = state[rings.IN_READ] = (k + 1) * block
        before, resyncs = int(state[rings.OUT_WRITE]), int(state[rings.RESYNCS])
        # The ring is full of sound, and the input has long been silent.
        _write_drifting(state, bench.engine._hop_state, loud if k < round_hops - 100 else silent, now)
        if k > round_hops and state[rings.RESYNCS] > resyncs:
            rows = np.arange(max(before, int(state[rings.OUT_READ])), int(state[rings.OUT_WRITE]))
            assert len(rows) > 2 * block
            assert not ring[rows & (len(ring) - 1)].any()
            gaps += 1
    assert gaps == 1
    bench.shared.close()
