"""Counters of a whole session across its engines, and percentiles of the duration of hops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.engine import Engine
from rtsep.audio.histogram import HISTOGRAM_BINS, HISTOGRAM_STEP_NS


@dataclass(frozen=True, eq=False)
class SessionCounters:
    """Immutable sum of the counters of finished engines, to which those of the current one are added."""

    before: Mapping[str, int] = field(default_factory=dict)
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(HISTOGRAM_BINS, np.int64))
    gap_ns: int = 0
    hop_ns: int = 0

    def plus(self, engine: Engine) -> SessionCounters:
        """Return the counters with the counts of a finished engine."""
        longest = engine.telemetry()
        return SessionCounters(
            before=self._with(engine.counters(), 1),
            histogram=self.histogram + engine.hop_histogram(),
            gap_ns=max(self.gap_ns, longest.call_gap_max_ns),
            hop_ns=max(self.hop_ns, longest.hop_max_ns),
        )

    def without(self, counted: Mapping[str, int]) -> SessionCounters:
        """Return the counters without the counts (`Engine.counters`) of an engine before it became active."""
        return replace(self, before=self._with(counted, -1))

    def _with(self, counted: Mapping[str, int], times: int) -> dict[str, int]:
        return {name: self.before.get(name, 0) + times * value for name, value in counted.items()}

    def total(self, engine: Engine) -> dict[str, Any]:
        """Return the session's counters, with `hop_us` percentiles and the longest time between two calls."""
        counts = {name: value + self.before.get(name, 0) for name, value in engine.counters().items()}
        hops = self.histogram + engine.hop_histogram()  # read before the maximum; the hop loop explains why
        longest = engine.telemetry()
        return {
            **counts,
            "hop_us": percentiles(hops, max(self.hop_ns, longest.hop_max_ns)),
            "call_gap_max_ms": round(max(self.gap_ns, longest.call_gap_max_ns) / 1e6, 2),
        }


def percentiles(histogram: NDArray[np.int64], max_ns: int | None = None) -> dict[str, float]:
    """Return p50, p99, p99.9 and max of a histogram with bins of HISTOGRAM_STEP_NS, in us.

    A bin counts as its upper edge, so that no figure is better than the measurement. The last bin has no
    upper edge: `max_ns`, the longest of all hops, replaces it and is the maximum.
    """
    total = int(histogram.sum())
    if total == 0:
        return {"p50": 0.0, "p99": 0.0, "p99.9": 0.0, "max": 0.0}
    reached = np.cumsum(histogram)
    step = HISTOGRAM_STEP_NS / 1000.0
    top_edge = len(histogram) * step if max_ns is None else round(max_ns / 1000.0, 1)

    def edge(share: float) -> float:
        rank = min(total, int(share * total) + 1)
        bins = int(np.searchsorted(reached, rank)) + 1
        return top_edge if bins == len(histogram) else min(top_edge, bins * step)

    maximum = edge(1.0) if max_ns is None else top_edge
    return {"p50": edge(0.5), "p99": edge(0.99), "p99.9": edge(0.999), "max": maximum}
