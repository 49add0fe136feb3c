"""The engine on the bench: its declared latency, its laws of sound, and what a failing model costs."""

from __future__ import annotations

import time

import numpy as np
import pytest
import soundfile

from rtsep.audio import rings, telemetry
from rtsep.audio.engine import MIN_COMPUTE_SHARE, Engine
from rtsep.audio.hoploop import CALLS_COMPARED, HOLD_S, _deadline, _follow_median
from rtsep.audio.rings import most_slack
from rtsep.audio.source import FileSource
from rtsep.audio.telemetry import UNKNOWN
from rtsep.controls import Controls
from rtsep.dsp.resample import frames_until
from rtsep.files.audiofile import AudioReader
from rtsep.limits import LARGEST_BLOCK
from rtsep.realtime import mask_exchange
from rtsep.realtime.mask_exchange import MaskExchange
from tests.audio.bench import PATIENCE_S, Bench, noise, one_clock
from tests.models import FRAMINGS, make_spec

SLACK = 1 << 15
"""Frames of slack that give a model thread of a test enough time: deadlines are in real time."""


@pytest.mark.parametrize("block", [32, 64, 100, 128, 256, 441, 512, 1000, 4096])
@pytest.mark.parametrize("rate", [44100, 48000])
def test_the_feeds_add_up_to_the_input_at_the_declared_latency(block, rate):
    x = noise(24000)
    with Bench(one_clock(block, rate), lambda n, column: 0.5) as bench:
        y = bench.play(x)
        delay = bench.engine.latency.total
        counters = bench.engine.counters()
    assert counters["underruns"] == 0
    whole = y[delay : len(x), :2] + y[delay : len(x), 2:]
    np.testing.assert_allclose(whole, x[: len(x) - delay], atol=1.2e-7)
    np.testing.assert_array_equal(y[:delay, :2] + y[:delay, 2:], 0)


@pytest.mark.parametrize("rate", [22050, 32000, 88200, 96000])
@pytest.mark.parametrize("block", [64, 256, 1024])
def test_other_rates_keep_the_exact_sum_at_the_declared_latency(rate, block):
    x = noise(rate // 2)
    with Bench(one_clock(block, rate), lambda n, column: 0.5) as bench:
        y = bench.play(x)
        delay = bench.engine.latency.total
        assert bench.engine.counters()["underruns"] == 0
    whole = y[delay : len(x), :2] + y[delay : len(x), 2:]
    np.testing.assert_allclose(whole, x[: len(x) - delay], atol=1.2e-7)


def test_half_a_mask_is_half_the_input():
    x = noise(24000)
    with Bench(one_clock(128, slack=SLACK), lambda n, column: 0.5) as bench:
        y = bench.play(np.concatenate([x, np.zeros((SLACK, 2), np.float32)]))
        delay = bench.engine.latency.total
        assert bench.engine.counters()["late_masks"] == 0
    vocals = y[delay : delay + 20000, :2]
    assert np.sqrt(np.mean((vocals - 0.5 * x[:20000]) ** 2)) < 1e-6 * np.sqrt(np.mean(x**2)) * 10


def test_the_result_does_not_depend_on_the_blocks():
    x = noise(20000)
    played = []
    for block in (64, 256, 1000):
        with Bench(one_clock(block, slack=SLACK), lambda n, column: (n % 7) / 7) as bench:
            y = bench.play(np.concatenate([x, np.zeros((SLACK + 4000, 2), np.float32)]))
            delay = bench.engine.latency.total
            assert bench.engine.counters()["late_masks"] == 0
        played.append(y[delay : delay + 19000])
    np.testing.assert_array_equal(played[0], played[1])
    np.testing.assert_array_equal(played[0], played[2])


def test_a_late_mask_is_counted_named_and_replaced_by_the_last_one():
    missing = {20, 21, 50}

    def answer(n, column):
        return None if n in missing else 0.25

    with Bench(one_clock(256, slack=2048), answer) as bench:
        x = noise(256 * 80)
        y = bench.play(np.concatenate([x, np.zeros((4096, 2), np.float32)]))
        delay = bench.engine.latency.total
        assert missing <= set(bench.engine.late_hops())
        assert bench.engine.counters()["late_masks"] == len(bench.engine.late_hops())
    # The mask is the same in every hop, so the last one in its place must not be audible at all.
    vocals, n = y[delay:, :2], len(x)
    error = vocals[4096:n] - 0.25 * x[4096:n]
    assert np.abs(error).max() < 1e-6


def test_the_longest_hop_is_kept_where_its_bin_does_not_tell_it():
    held_s = 0.1

    def answer(n, column):
        if n == 20:
            time.sleep(held_s)
        return 0.25

    with Bench(one_clock(256, slack=SLACK), answer) as bench:
        bench.play(noise(256 * 40))
        histogram, longest_ns = bench.engine.hop_histogram(), bench.engine.read(rings.HOP_MAX_NS)
    assert histogram.sum() == 40 and histogram[-1] >= 1
    assert longest_ns >= held_s * 1e9 > rings.HISTOGRAM_BINS * rings.HISTOGRAM_STEP_NS


def test_one_late_call_moves_no_deadline_and_calls_that_stay_late_do():
    bench = Bench(one_clock(256), lambda n, column: 0.5)  # not started: its deadlines are asked for by hand
    engine = bench.engine

    def due_after(late_ms: int, calls: int = 1) -> int:
        """Return the deadline, in ns, of the hop after a call that came so late."""
        engine.state[rings.OUT_BASE_NS] = 10**12 + late_ms * 10**6
        engine.state[rings.OUT_CALLS] += calls
        return _deadline(engine.state, engine._hop_state)

    in_time = due_after(0)
    assert [due_after(late) for late in (0, 4, 0, 3, 0)] == [in_time] * 5
    assert [due_after(5, calls=0) for _ in range(9)] == [in_time] * 9, "hops of one call are one call's"
    assert [due_after(0) for _ in range(CALLS_COMPARED)] == [in_time] * CALLS_COMPARED
    assert [due_after(9) - in_time for _ in range(CALLS_COMPARED)] == [0] * (CALLS_COMPARED - 1) + [9_000_000]
    assert due_after(-2) - in_time == -2_000_000  # earlier than ever: at once
    for calls in (2, 4, 8):  # a hop of several calls sees the last of them
        assert [due_after(9, calls) for _ in range(CALLS_COMPARED)][-1] - in_time == 9_000_000
        due_after(-2, calls)
    bench.shared.close()


def test_without_a_model_the_dry_signal_fades_in_and_gives_way_again():
    hops = 120
    with Bench(one_clock(256), lambda n, column: 0.0) as bench:
        x = noise(256 * hops)
        first = bench.play(x[: 256 * 40])
        bench.set_model_state(mask_exchange.DOWN)
        gone = bench.play(x[256 * 40 : 256 * 80])
        bench.set_model_state(mask_exchange.READY)
        back = bench.play(x[256 * 80 :])
        delay = bench.engine.latency.total
        assert bench.engine.counters()["underruns"] == 0
    y = np.concatenate([first, gone, back])
    n = len(y)
    np.testing.assert_allclose(y[delay:, :2] + y[delay:, 2:], x[: n - delay], atol=1.2e-7)
    hold = int(HOLD_S * 44100 / 256) + 4
    dry = slice(256 * (40 + hold), 256 * 80)  # vocals carry the mix, the instrumental is silent
    np.testing.assert_array_equal(y[dry, 2:], 0)
    np.testing.assert_array_equal(y[dry, :2], x[dry.start - delay : dry.stop - delay])


def test_an_engine_that_stood_still_returns_to_its_latency():
    """Input overwritten before it was consumed is lost and counted; what follows is as late as before."""
    with Bench(one_clock(256), lambda n, column: 0.5) as bench:
        ring = len(bench.engine.input_ring)
        x = noise(256 * 20)
        bench.play(x)
        state = bench.engine.state
        # As if the loop had been stopped for longer than the ring: the device's positions ran ahead.
        behind = ring + 256 * 40
        state[rings.IN_WRITE] += behind
        state[rings.OUT_READ] += behind
        bench.play(noise(256, seed=5))
        y = bench.play(x)
        delay = bench.engine.latency.total
        assert bench.engine.counters()["overruns"] > 0
    n = len(x)
    np.testing.assert_allclose(y[2 * delay : n, :2] + y[2 * delay : n, 2:], x[delay : n - delay], atol=1.2e-7)


def test_mono_is_played_on_its_own_channel():
    x = noise(12000, 1)
    with Bench(one_clock(256, channels=1), lambda n, column: 0.5) as bench:
        y = bench.play(x)
        delay = bench.engine.latency.total
    np.testing.assert_allclose(
        y[delay : len(x), 0] + y[delay : len(x), 1], x[: len(x) - delay, 0], atol=1.2e-7
    )


@pytest.mark.parametrize("lookahead", [1, 3])
def test_look_ahead_is_part_of_the_declared_latency(lookahead):
    x = noise(16000)
    with Bench(one_clock(256), lambda n, column: 0.5, lookahead=lookahead) as bench:
        y = bench.play(x)
        delay = bench.engine.latency.total
    assert delay == 512 + 256 * lookahead
    np.testing.assert_allclose(
        y[delay : len(x), :2] + y[delay : len(x), 2:], x[: len(x) - delay], atol=1.2e-7
    )


def test_the_latency_budget_adds_up_and_names_no_negative_part():
    for block in (16, 32, 64, 100, 128, 256, 300, 512, 4096):
        budget = Bench(one_clock(block), lambda n, column: 0.5).engine.latency
        assert min(budget.algorithm, budget.engine, budget.device) >= 0
        assert budget.algorithm == 512
        assert budget.total == budget.algorithm + budget.engine + budget.device
        assert f"= {budget.total} samples" in budget.line()


def test_controls_turned_while_playing_do_not_click():
    """A ramp within a hop: the output's steps stay those of the signal, times the gain in force."""
    t = np.arange(256 * 60) / 44100
    x = np.stack([0.5 * np.sin(2 * np.pi * 200 * t)] * 2, axis=1).astype(np.float32)
    steepest = np.abs(np.diff(x[:, 0])).max()
    with Bench(one_clock(256, slack=SLACK), lambda n, column: 1.0) as bench:
        out = []
        for hop in range(60):
            if hop == 20:
                bench.controls.vocals_mute = 1
            if hop == 30:
                bench.controls.vocals_mute = 0
            if hop == 40:
                bench.controls.bypass = 1
            out.append(bench.play(x[256 * hop : 256 * (hop + 1)]))
        out.append(bench.play(np.zeros((SLACK + 1024, 2), np.float32)))
        delay = bench.engine.latency.total
    vocals = np.concatenate(out)[delay + 2048 : delay + 256 * 58, 0]
    assert np.abs(vocals).min() == 0  # it was muted
    assert np.abs(np.diff(vocals)).max() < steepest + 0.5 / 256 + 1e-3


@pytest.mark.parametrize("system", FRAMINGS)
@pytest.mark.parametrize("rate", [44100, 48000])
def test_the_published_systems_keep_the_exact_sum_at_the_declared_latency(system, rate):
    entries = FRAMINGS[system] | {"band_above": "follow"}
    own = entries["rates"][0]
    with Bench(one_clock(256, rate), lambda n, column: 0.5, **entries) as bench:
        delay = bench.engine.latency.total
        x = noise(delay + rate // 2)
        y = bench.play(x)
        assert bench.engine.counters()["underruns"] == 0
    budget = bench.engine.latency
    hop = entries["hop"] * rate / own
    exact = (entries["synthesis"] + entries["lookahead"] * entries["hop"]) * rate / own
    assert exact <= budget.algorithm <= exact + 64 * max(1, rate / own) + 5
    assert budget.engine + budget.device <= 256 + hop + 256
    np.testing.assert_allclose(y[delay:, :2] + y[delay:, 2:], x[: len(x) - delay], atol=1.2e-7)
    np.testing.assert_array_equal(y[:delay, :2] + y[:delay, 2:], 0)


@pytest.mark.parametrize("system", ["live", *FRAMINGS])
@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("block", [16, 64, 100, 128, 192, 256, 441, 4096])
def test_slack_leaves_every_hop_its_share_and_no_whole_block_is_too_many(system, rate, block):
    """By counting calls: a hop has from the call that completes it to the call that plays its first frame."""
    engine = Bench(one_clock(block, rate), lambda n, column: 0.5, **FRAMINGS.get(system, {})).engine
    bridge, ready = engine._pipeline.bridge, engine.read(rings.OUT_WRITE)
    times = []
    for hop in range(500):
        start, end = frames_until(bridge, hop), frames_until(bridge, hop + 1)
        completed_by, played_by = -(-end // block), (start + ready) // block + 1
        times.append((played_by - completed_by) * block)
    enough = MIN_COMPUTE_SHARE * (frames_until(bridge, 500) / 500)
    assert min(times) >= enough - 1
    assert engine.latency.engine % block == 0
    assert engine.latency.engine < enough + 1  # a block fewer would be too few


def test_one_late_mask_is_held_even_where_a_hop_is_longer_than_the_hold():
    entries = FRAMINGS["unet"] | {"lookahead": 0, "band_above": "follow"}

    def answer(n, column):
        return None if n == 6 else 0.25

    with Bench(one_clock(256, slack=SLACK), answer, **entries) as bench:
        x = noise(4134 * 12)
        y = bench.play(np.concatenate([x, np.zeros((SLACK + 16384, 2), np.float32)]))
        delay = bench.engine.latency.total
        assert bench.engine.late_hops() == [6]
    # The last mask serves, and is the same; the dry signal would take its place at half its level.
    np.testing.assert_allclose(y[delay : delay + len(x), :2], 0.25 * x, atol=1e-5)


@pytest.mark.parametrize("system", ["column-dense", "unet"])
def test_meters_fall_at_the_same_pace_whatever_the_hop(system):
    with Bench(one_clock(256), lambda n, column: 0.5, **FRAMINGS[system] | {"lookahead": 0}) as bench:
        bench.play(noise(30000))
        loud = bench.engine.meters()["dry"]["peak"]
        delay = bench.engine.latency.total
        bench.play(np.zeros((delay, 2), np.float32))
        start, hops = bench.engine.meters()["dry"]["peak"], bench.engine.read(rings.IN_READ)
        bench.play(np.zeros((44100 // 2, 2), np.float32))
        seconds = (bench.engine.read(rings.IN_READ) - hops) / 44100
        fallen = bench.engine.meters()["dry"]["peak"] / start
    assert 0 < start <= loud
    assert 20 * np.log10(fallen) == pytest.approx(-20 * seconds / 0.4, abs=0.1)


def test_the_time_kept_for_synthesis_follows_its_median_not_its_outliers():
    median = np.zeros(1, np.int64)
    for hop in range(2000):
        _follow_median(median, 20_000_000 if hop % 20 == 0 else 500_000 + hop % 7)
    assert median[0] == pytest.approx(500_000, rel=0.05)
    for _ in range(300):
        _follow_median(median, 2_000_000)
    assert median[0] == pytest.approx(2_000_000, rel=0.05)


# --- what others may read and ask ------------------------------------------------------------------


def test_progress_tells_the_positions_of_both_sides():
    with Bench(one_clock(128), lambda n, column: 0.5) as bench:
        ready = bench.engine.progress().produced
        bench.play(noise(128 * 21))
        at = bench.engine.progress()
    assert at.captured == at.played == 128 * 21
    assert at.consumed == at.recordable == 256 * 10  # the last block is half a hop
    assert (at.produced, at.hops) == (ready + 256 * 10, 10)
    assert at.input_calls == at.output_calls == 21
    assert at.output_block == 128
    assert at.source_end == UNKNOWN


def test_telemetry_tells_the_longest_times_and_the_hops_since_the_last_mask():
    with Bench(one_clock(256, slack=SLACK), lambda n, column: 0.5 if n < 5 else None) as bench:
        bench.play(noise(256 * 5))
        assert bench.engine.telemetry().late_run == 0
        bench.set_model_state(mask_exchange.DOWN)
        bench.play(noise(256 * 3))
        found = bench.engine.telemetry()
    assert found.late_run == 3
    assert found.hop_max_ns > 0 and found.call_gap_max_ns > 0


def test_forgotten_longest_times_stay_forgotten_where_an_old_one_is_put_back(monkeypatch):
    engine = Bench(one_clock(256), lambda n, column: 0.5).engine
    engine.state[rings.CALL_GAP_MAX_NS], engine.state[rings.HOP_MAX_NS] = 7_000, 5_000
    put_back = [(rings.CALL_GAP_MAX_NS, 7_000), (rings.CALL_GAP_MAX_NS, 300), (rings.HOP_MAX_NS, 5_000), None]

    def pass_some_calls(seconds: float) -> None:
        if written := put_back.pop(0):
            engine.state[written[0]] = written[1]

    monkeypatch.setattr(telemetry.time, "sleep", pass_some_calls)
    engine.forget_longest()
    assert engine.telemetry()[:2] == (300, 0)  # 300 is of calls since
    assert put_back == []


def test_two_engines_of_one_ring_play_one_file_and_either_goes_on_alone(tmp_path):
    soundfile.write(tmp_path / "x.wav", sound := noise(3 * 44100), 44100, "FLOAT")
    source = FileSource(AudioReader(tmp_path / "x.wav"), 44100, [0, 1])
    described, format, controls = make_spec(), one_clock(256), Controls()
    shared = MaskExchange.create(described.channels, described.bins)
    first = Engine(described, format, controls, shared)
    second = Engine(described, format, controls, shared, first.input_ring)
    try:
        first.attach_source(source)
        second.attach_source(source)
        ready = first.read(rings.SOURCE_WRITE)
        assert second.read(rings.SOURCE_WRITE) == ready > 0
        np.testing.assert_array_equal(second.input_ring[:ready], sound[:ready])
        first.detach_source(source)
        second.state[rings.IN_WRITE] = ready
        until = time.monotonic() + PATIENCE_S
        while second.progress().source_end == UNKNOWN:
            second.state[rings.IN_WRITE] = second.read(rings.SOURCE_WRITE)
            assert time.monotonic() < until
            time.sleep(0.001)
        assert second.progress().source_end == len(sound)
        assert (first.read(rings.SOURCE_WRITE), first.progress().source_end) == (ready, UNKNOWN)
    finally:
        source.close()
        shared.close()


@pytest.mark.parametrize("rate", [8000, 32000])
def test_the_largest_slack_and_block_are_heard_as_declared(rate):
    block = LARGEST_BLOCK
    with Bench(one_clock(block, rate=rate, slack=most_slack(rate, rate)), lambda n, column: 0.5) as bench:
        total = bench.engine.latency.total
        signal = np.zeros((-(-(total + 2000) // block) * block, 2), np.float32)
        signal[1000] = 0.5
        heard = bench.play(signal)
    both = np.abs(heard[:, 0] + heard[:, 2])
    assert int(both.argmax()) - 1000 == total
