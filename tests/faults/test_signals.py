"""Whatever a device gives: the output is finite and within full scale, and takes no more of the processor."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from rtsep.audio.hoploop import SLEEP_AFTER_S
from tests.audio.bench import Bench, noise, one_clock
from tests.e2e.exact import best_shift

HOP = BLOCK = 256
RATE = 44100
FRAMES = 80 * BLOCK
RELEASE = 140 * BLOCK


def mixed(*values: float) -> NDArray[np.float32]:
    """Noise in which every fifth frame has one of `values`."""
    sound = noise(FRAMES)
    places = np.arange(0, FRAMES, 5)
    sound[places] = np.resize(np.array(values, np.float32), len(places))[:, None]
    return sound


def squares(period: int) -> NDArray[np.float32]:
    """Full-scale squares."""
    level = np.where(np.arange(FRAMES) // (period // 2) % 2 == 0, 1, -1)
    return np.repeat(level[:, None], 2, 1).astype(np.float32)


SIGNALS = {
    "not a number": mixed(np.nan),
    "infinite": mixed(np.inf, -np.inf),
    "the largest numbers": mixed(3.4e38, -3.4e38, 1e20),
    "denormals": np.full((FRAMES, 2), 1e-40, np.float32) * noise(FRAMES),
    "almost denormals": 1e-36 * noise(FRAMES),
    "DC": np.ones((FRAMES, 2), np.float32),
    "full-scale squares": squares(100),
    "squares at half the rate": squares(2),
    "far beyond full scale": 20 * noise(FRAMES),
    "silence": np.zeros((FRAMES, 2), np.float32),
}
BAD = ("not a number", "infinite", "the largest numbers")


def limited(block: int = BLOCK):
    return dataclasses.replace(one_clock(block), limiter=True)


@pytest.mark.parametrize("name", SIGNALS)
def test_the_output_is_finite_and_within_full_scale_and_sound_returns(name):
    with Bench(limited(), lambda number, column: 0.5) as bench:
        rest = np.zeros((RELEASE, 2), np.float32)  # the limiter lets go meanwhile
        out = bench.play(np.concatenate([SIGNALS[name], rest, noise(FRAMES)]))
        counted, latency = bench.engine.counters(), bench.engine.latency.total
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1.0
    assert (counted["bad_samples"] > 0) == (name in BAD)
    # After it, the stems add up to the noise as usual.
    output, tail = out[:, :2] + out[:, 2:], noise(FRAMES)[:-latency]
    np.testing.assert_allclose(output[-len(tail) :], tail, rtol=0, atol=1e-6)


@pytest.mark.parametrize("answer", [float("nan"), float("inf"), 1e30, -1e30])
def test_a_model_that_answers_nonsense_moves_sound_between_the_stems_and_no_more(answer):
    with Bench(limited(), lambda number, column: answer) as bench:
        sound = noise(FRAMES)
        out, latency = bench.play(sound), bench.engine.latency.total
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1.0
    output = out[latency:, :2] + out[latency:, 2:]
    np.testing.assert_allclose(output, sound[:-latency], rtol=0, atol=1e-6)


def test_a_thousand_random_block_sizes():
    sizes = np.random.default_rng(9).integers(1, 1025, 1000)
    with Bench(limited(), lambda number, column: 0.5) as bench:
        sound = noise(int(sizes.sum()))
        starts = np.cumsum(sizes) - sizes
        out = [bench.call(sound[at : at + size]) for at, size in zip(starts, sizes, strict=True)]
        counted = bench.engine.counters()
    output = np.concatenate(out)
    assert np.isfinite(output).all() and np.abs(output).max() <= 1.0
    assert counted["overruns"] == 0
    # By then the largest has come, and nothing changes any more.
    output, size = (output[:, :2] + output[:, 2:])[-8192:], len(sound)
    lag = best_shift(output, sound[-8192:])
    assert 0 < lag < 4096
    np.testing.assert_allclose(output, sound[size - 8192 - lag : size - lag], rtol=0, atol=1e-6)


ROUNDS = 3
"""The least time of so many rounds counts: other programs only add to it."""


@pytest.mark.parametrize("name", ["denormals", "almost denormals", "DC", "silence", "not a number"])
def test_the_processor_has_no_more_to_do(name):
    with Bench(limited(), lambda number, column: 0.5) as bench:
        bench.play(noise(8 * BLOCK))
        usual = min(hop_loop_s(bench, noise(FRAMES)) for _ in range(ROUNDS))
        odd = min(hop_loop_s(bench, SIGNALS[name]) for _ in range(ROUNDS))
    assert odd < 2.5 * usual, f"{1e6 * odd / FRAMES * HOP:.0f} us a hop, not {1e6 * usual / FRAMES * HOP:.0f}"


def hop_loop_s(bench: Bench, sound: NDArray[np.float32]) -> float:
    """Return the processor time of the hop loop for `sound`."""
    thread = bench.engine._thread
    assert thread and thread.ident
    clock = time.pthread_getcpuclockid(thread.ident)
    before = time.clock_gettime(clock)
    bench.play(sound)
    return time.clock_gettime(clock) - before


@pytest.mark.long
def test_an_hour_of_silence_and_the_first_sound_after_it():
    block = 8192
    asked = []

    def answer(number: int, column: NDArray[np.float32]) -> float:
        asked.append(number)
        return 0.5

    with Bench(limited(block), answer) as bench:
        silence = np.zeros((block, 2), np.float32)
        for _ in range(3600 * RATE // block):
            assert not bench.call(silence).any()
        assert bench.engine.asleep and len(asked) < (SLEEP_AFTER_S + 2) * RATE / HOP
        sound = noise(8 * block)
        out = bench.play(sound)
        latency = bench.engine.latency.total
        assert not bench.engine.asleep
    np.testing.assert_allclose(
        (out[:, :2] + out[:, 2:])[latency:], sound[: len(sound) - latency], rtol=0, atol=1e-6
    )
