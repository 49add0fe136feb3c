"""Bins of the histogram of hop durations, which the hop loop fills and the front reads."""

from __future__ import annotations

HISTOGRAM_STEP_NS = 10_000
HISTOGRAM_BINS = 4096  # 41 ms; longer hops count in the last bin, and the longest in Telemetry.hop_max_ns
