"""The most of a hop period that a hop of each shipped model may take on one core.

The rest of the period is for the system and for other programs. Bench, verdicts and pages read this table.
"""

from __future__ import annotations

from typing import NamedTuple


class HopBar(NamedTuple):
    """Upper bounds of the time of a whole hop, as shares of the hop period."""

    p99: float
    p999: float


HOP_BARS = {
    "live": HopBar(0.35, 0.5),
    "light": HopBar(0.25, 0.5),
    "stage": HopBar(0.25, 0.5),
    "open": HopBar(0.25, 0.5),
    "studio": HopBar(0.5, 0.75),
    "wide": HopBar(0.5, 0.75),
}
"""By name of the model; the larger nets have the longer hops, or separate so much better that it pays."""
