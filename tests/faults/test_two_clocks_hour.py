"""Two devices whose clocks differ by 500 ppm, for an hour in compressed time: no click, a bounded fill.

The hop loop's own law is run by clocks of the test's own. What an output plays is read out of the ring at the
moments of its clock, so a frame that is not written yet, or is overwritten too early, is a click.
"""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from rtsep.audio import hoploop, rings
from rtsep.audio.engine import StreamFormat
from tests.audio.bench import Bench

HZ = 441.0
HOP = BLOCK = 256
CHANNELS = 2
JITTER_NS = 300_000
"""Devices call, and hops end, later than they should by so much at most."""


@njit(cache=True, nogil=True)
def write_hops(state, hop_state, ppm, first, count, seed, fills, clicks, played, phase, in_rate):
    """Run `count` hops from the `first` one on; `phase` [1] is that of the tone in cycles."""
    np.random.seed(seed)
    out_rate = float(state[rings.OUT_RATE]) * (1.0 + ppm * 1e-6)
    ring = rings.output_ring(state)
    feeds = np.zeros((3, CHANNELS, HOP), np.float32)
    for k in range(first, first + count):
        for i in range(HOP):
            value = np.float32(0.5 * np.sin(2 * np.pi * phase[0]))
            phase[0] = (phase[0] + HZ / in_rate) % 1.0
            feeds[:, :, i] = value
        end_s = (k + 1) * HOP / in_rate
        now = int(end_s * 1e9) + np.random.randint(0, JITTER_NS)
        state[rings.IN_WRITE] = state[rings.IN_READ] = (k + 1) * HOP
        state[rings.IN_BASE_NS] = 1 + np.random.randint(0, JITTER_NS)
        calls = int(end_s * out_rate) // BLOCK
        while state[rings.OUT_READ] < calls * BLOCK:  # the output's calls until now
            start = state[rings.OUT_READ]
            for i in range(BLOCK):
                x = ring[(start + i) & (state[rings.RING_FRAMES] - 1), 0]
                # A tone has no third difference of more than its amplitude times (2 pi f / rate)^3.
                third = x - 3 * played[2] + 3 * played[1] - played[0]
                if start + i > 2 * out_rate and abs(third) > 1e-3:
                    clicks[0] += 1
                played[0], played[1], played[2] = played[1], played[2], x
            if start + BLOCK > state[rings.OUT_WRITE]:
                clicks[1] += 1
            state[rings.OUT_READ] = start + BLOCK
            due_s = (start + BLOCK) / out_rate
            state[rings.OUT_BASE_NS] = 1 + int((due_s - start / state[rings.OUT_RATE]) * 1e9)
            state[rings.OUT_CALLS] += 1
        hoploop._write_drifting(state, hop_state, feeds, now)
        fills[k - first] = state[rings.OUT_WRITE] - end_s * out_rate


@pytest.mark.parametrize(
    ("ppm", "minutes"),
    [
        (500, 2),
        pytest.param(-500, 60, marks=pytest.mark.long),
        pytest.param(500, 60, marks=pytest.mark.long),
    ],
)
def test_no_click_and_a_bounded_fill(ppm: int, minutes: int) -> None:
    rate, out_map = 44100, tuple(range(2 * CHANNELS))
    format = StreamFormat(rate, CHANNELS, (0, 1), out_map, BLOCK, rate, BLOCK, two_clocks=True)
    bench = Bench(format, lambda n, column: 0.5)
    try:
        state, hop_state = bench.engine.state, bench.engine._hop_state
        state[rings.IN_BASE_NS] = state[rings.OUT_BASE_NS] = 1
        clicks, played, phase = np.zeros(2, np.int64), np.zeros(3, np.float32), np.zeros(1)
        hops, fills = 60 * rate // HOP, []
        for minute in range(minutes):
            fill = np.zeros(hops)
            write_hops(
                state, hop_state, float(ppm), minute * hops, hops, minute, fill, clicks, played, phase,
                float(rate),
            )  # fmt: skip
            fills.append(fill)
        settled = np.concatenate(fills)[hops // 2 :]
        assert state[rings.RESYNCS] == 1, "it was set again"
        assert clicks[0] == 0, f"{clicks[0]} clicks"
        assert np.ptp(settled) < 120
        assert abs(hop_state.drift.correction[0] * 1e6 + ppm) < 25
    finally:
        bench.shared.close()
