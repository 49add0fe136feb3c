"""Bins of the histogram of hop durations: the hop loop fills it, others read it."""

from __future__ import annotations

HISTOGRAM_STEP_NS = 10_000
HISTOGRAM_BINS = 4096  # 41 ms; longer hops count in the last bin, and Telemetry.hop_max_ns has the longest
