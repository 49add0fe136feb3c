"""The limiter: never beyond full scale, bit by bit below it, one gain for a bus, no delay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtsep.dsp.limiter import RELEASE_S, limit, make_limiter, reduction_db
from tests.audio.bench import Bench, noise, one_clock

RATE = 44100
TWO_BUSES = (0, 1, 2, 3)  # the pairs of two feeds


def limited(block, out_map=TWO_BUSES, on=True, blocks=256, rate=RATE):
    """Return `block` [channels, frames] behind a new limiter, in blocks of `blocks`, and the limiter."""
    limiter, out = make_limiter(on, out_map, 2, rate), block.astype(np.float32)
    for start in range(0, out.shape[1], blocks):
        piece = np.zeros((out.shape[0], blocks + 3), np.float32)  # longer than what counts
        part = out[:, start : start + blocks]
        piece[:, : part.shape[1]] = part
        limit(limiter, piece, part.shape[1])
        out[:, start : start + blocks] = piece[:, : part.shape[1]]
    return out, limiter


def test_below_full_scale_every_bit_passes():
    x = np.random.default_rng(1).uniform(-1, 1, (4, 20_000)).astype(np.float32)
    x[0, 100], x[3, 7] = 1.0, -1.0
    out, limiter = limited(x)
    assert np.array_equal(out.view(np.int32), x.view(np.int32))
    assert limiter.limited[0] == 0 and reduction_db(limiter) == 0.0


@pytest.mark.parametrize("loud", [1.0001, 2.0, 31.6, 9_999.0])
@pytest.mark.parametrize("kind", ["noise", "sine", "click", "square"])
def test_nothing_goes_beyond_full_scale(kind, loud):
    t = np.arange(RATE // 2) / RATE
    rng = np.random.default_rng(2)
    x = {
        "noise": rng.uniform(-1, 1, len(t)),
        "sine": np.sin(2 * np.pi * 55 * t),
        "click": (t == t[5_000]).astype(float),
        "square": np.sign(np.sin(2 * np.pi * 100.5 * t)),
    }[kind]
    out, _ = limited(np.stack([x, 0.3 * x, 0.1 * x, -x]) * loud)
    assert np.abs(out).max() <= 1.0


def test_a_peak_is_let_go_and_then_bits_pass_again():
    x = np.full((4, RATE), 0.25, np.float32)
    x[1, 1_000] = -2.0
    out, limiter = limited(x)
    assert np.array_equal(out[:, :1_000], x[:, :1_000])
    assert out[1, 1_000] == -1.0 and out[0, 1_000] == 0.125  # at once, and the other side of its bus with it
    over = 1_000 + int(np.log(2.0) * RELEASE_S * RATE) + 2
    assert np.array_equal(out[:, over:], x[:, over:])
    gains = out[0, 1_000:over] / x[0, 1_000:over]
    assert (np.diff(gains) >= 0).all() and limiter.limited[0] == pytest.approx(over - 1_000, abs=3)
    assert np.array_equal(out[2:], x[2:])  # the other bus is not touched


def test_blocks_do_not_matter():
    x = 3 * np.random.default_rng(3).standard_normal((4, 5_000)) * np.linspace(0, 1, 5_000)
    whole, _ = limited(x, blocks=5_000)
    for blocks in (1, 64, 441):
        assert np.array_equal(limited(x, blocks=blocks)[0], whole)


def test_off_is_off_and_silent_channels_stay_silent():
    x = 5 * np.ones((4, 100), np.float32)
    assert np.array_equal(limited(x, on=False)[0], x)
    out, _ = limited(x, out_map=(-1, 2, 3, -1))
    assert (out[[1, 2]] == 1.0).all() and (out[[0, 3]] == 5.0).all()


def test_the_engine_limits_what_is_played_and_records_what_was_not():
    form = replace(one_clock(256), limiter=True)
    with Bench(form, lambda n, column: 0.5) as bench:
        quiet = noise(40 * 256)
        out = bench.play(quiet)
        latency = bench.engine.latency.total
        both = out[latency:, :2] + out[latency:, 2:]
        np.testing.assert_allclose(both, quiet[: len(both)], atol=1e-6)
        assert bench.engine.counters()["limited_frames"] == 0
        loud = bench.play(6 * noise(40 * 256, seed=1))
        assert np.abs(loud).max() <= 1.0
        assert bench.engine.counters()["limited_frames"] > 0 and bench.engine.limiter_db() < -2
        tap = bench.engine.record_tap
        assert np.abs(tap.copy(0, tap.written())).max() > 1.2
