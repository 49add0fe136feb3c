"""Counters of a session: summed over its engines, and no time better than what was measured."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from rtsep.audio.histogram import HISTOGRAM_BINS, HISTOGRAM_STEP_NS
from rtsep.audio.telemetry import Telemetry
from rtsep.session.counters import SessionCounters, percentiles


def test_percentiles_are_never_better_than_what_was_measured():
    durations_us = np.random.default_rng(0).gamma(3, 300, 5000)
    histogram = np.bincount(
        np.minimum(durations_us * 1000 // HISTOGRAM_STEP_NS, HISTOGRAM_BINS - 1).astype(int),
        minlength=HISTOGRAM_BINS,
    )
    found = percentiles(histogram)
    for name, share in (("p50", 50), ("p99", 99), ("p99.9", 99.9), ("max", 100)):
        exact = np.sort(durations_us)[min(4999, int(share * 50))]
        assert exact <= found[name] <= exact + HISTOGRAM_STEP_NS / 1000
    assert percentiles(np.zeros(HISTOGRAM_BINS, np.int64))["max"] == 0


def test_the_longest_hop_is_the_maximum_however_long_and_no_percentile_is_above_it():
    histogram = np.zeros(HISTOGRAM_BINS, np.int64)
    histogram[[99, -1]] = 995, 5
    assert percentiles(histogram, 512_345_600) == {
        "p50": 1000,
        "p99": 1000,
        "p99.9": 512345.6,
        "max": 512345.6,
    }
    histogram[-1] = 0
    assert set(percentiles(histogram, 995_500).values()) == {995.5}


def test_the_longest_hop_of_several_engines_is_that_of_the_session():
    def engine(hop_ns: int, gap_ns: int, hops: int) -> Any:
        histogram = np.zeros(HISTOGRAM_BINS, np.int64)
        histogram[-1] = hops
        longest = Telemetry(call_gap_max_ns=gap_ns, hop_max_ns=hop_ns, late_run=0)
        return types.SimpleNamespace(
            counters=lambda: {"hops": hops}, hop_histogram=lambda: histogram, telemetry=lambda: longest
        )

    counters = SessionCounters()
    for earlier in (engine(50_000_000, 3_000_000, 4), engine(612_000_000, 7_000_000, 5)):
        counters = counters.plus(earlier)
    total = counters.total(engine(44_000_000, 2_000_000, 6))
    assert (total["hops"], total["hop_us"]["max"], total["call_gap_max_ms"]) == (15, 612_000.0, 7.0)
    assert counters.total(engine(800_000_000, 0, 1))["hop_us"]["max"] == 800_000.0
