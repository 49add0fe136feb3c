"""Counters of a whole session, over the engines it may need, and percentiles of the time a hop takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.engine import Engine
from rtsep.audio.histogram import HISTOGRAM_BINS, HISTOGRAM_STEP_NS


class Tally:
    """Sums what finished engines have counted with what the present one counts."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._histogram: NDArray[np.int64] = np.zeros(HISTOGRAM_BINS, np.int64)
        self._gap_ns = self._hop_ns = 0

    def add(self, engine: Engine) -> None:
        """Take over the counts of an engine that has ended."""
        for name, value in engine.counters().items():
            self._before[name] = self._before.get(name, 0) + value
        self._histogram += engine.hop_histogram()
        longest = engine.telemetry()
        self._gap_ns = max(self._gap_ns, longest.call_gap_max_ns)
        self._hop_ns = max(self._hop_ns, longest.hop_max_ns)

    def leave_out(self, counted: dict[str, int]) -> None:
        """Do not count what an engine has counted (`Engine.counters`) before it was heard."""
        for name, value in counted.items():
            self._before[name] = self._before.get(name, 0) - value

    def total(self, engine: Engine) -> dict[str, Any]:
        """Return the session's counters, with `hop_us` percentiles and the longest time between two calls."""
        counts = {name: value + self._before.get(name, 0) for name, value in engine.counters().items()}
        hops = self._histogram + engine.hop_histogram()  # before the longest, see the hop loop
        longest = engine.telemetry()
        return {
            **counts,
            "hop_us": percentiles(hops, max(self._hop_ns, longest.hop_max_ns)),
            "call_gap_max_ms": round(max(self._gap_ns, longest.call_gap_max_ns) / 1e6, 2),
        }


def percentiles(histogram: NDArray[np.int64], longest_ns: int | None = None) -> dict[str, float]:
    """Return p50, p99, p99.9 and max of a histogram with bins of HISTOGRAM_STEP_NS, in us.

    A bin counts as its upper edge, so that no figure is better than what was measured. The last one has none:
    `longest_ns`, the longest of all hops, stands for it, and is the maximum.
    """
    total = int(histogram.sum())
    if total == 0:
        return {"p50": 0.0, "p99": 0.0, "p99.9": 0.0, "max": 0.0}
    reached = np.cumsum(histogram)
    step = HISTOGRAM_STEP_NS / 1000.0
    longest = len(histogram) * step if longest_ns is None else round(longest_ns / 1000.0, 1)

    def edge(share: float) -> float:
        rank = min(total, int(share * total) + 1)
        bins = int(np.searchsorted(reached, rank)) + 1
        return longest if bins == len(histogram) else min(longest, bins * step)

    most = edge(1.0) if longest_ns is None else longest
    return {"p50": edge(0.5), "p99": edge(0.99), "p99.9": edge(0.999), "max": most}
