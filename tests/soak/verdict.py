"""The bars: what a soak must show."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

from tests.soak.readings import Row

WARM_UP_S = 600.0
"""From then on memory is judged."""

JUDGED_S = 1200.0
"""The shortest time behind the warm-up from which growth an hour can be judged: pages come and go."""

GROWTH_KB = 1024.0
"""Maximum growth of resident memory in an hour."""

_MOST_POINTS = 1500  # of a slope: all pairs of them are compared

AT_AN_END = 5
"""Readings of which the least counts: a look at the devices has a thread of its own for a moment."""

ENDS_OF = ("session_threads", "session_handles", "model_threads", "model_handles")

CHANGES_BLOCK = {"period changed", "quantum changed", "rate changed"}
"""Faults within which a device calls with another block."""


@dataclass
class Bar:
    """One bar, with the figures that decide."""

    name: str
    met: bool | None  # None: it could not be judged
    figures: str

    def __str__(self) -> str:
        return (
            f"{ {True: 'met', False: 'NOT MET', None: 'not judged'}[self.met]:10} {self.name}: {self.figures}"
        )


def growth(rows: Sequence[Row], name: str) -> float | None:
    """Return by how many kB an hour `name` grows behind the warm-up (Theil and Sen); None: too short.

    The median of the slopes between all pairs of readings: pages that come and go do not tilt it.
    """
    points = [
        (row.t, getattr(row, name)) for row in rows if row.t >= WARM_UP_S and getattr(row, name) is not None
    ]
    if not points or points[-1][0] - points[0][0] < JUDGED_S:
        return None
    points = points[:: math.ceil(len(points) / _MOST_POINTS)]
    times, values = np.array(points).T
    return float(theilslopes(values, times)[0]) * 3600


def judge(rows: Sequence[Row], trouble: Sequence[str], faults: Collection[str] = ()) -> list[Bar]:
    """Return the bars of the readings of one session; `trouble` is what it did not come back from.

    `faults` are the kinds of faults that were made.
    """
    bars = [Bar("it came back from each fault, and ended in order", not trouble, "; ".join(trouble) or "yes")]
    for name, what in (("session_kb", "session"), ("model_kb", "model process")):
        slope = growth(rows, name)
        seen = [value for row in rows if (value := getattr(row, name)) is not None]
        figures = (
            f"{seen[0] / 1024:.1f} MB at first, {seen[-1] / 1024:.1f} MB at last" if seen else "no reading"
        )
        if slope is None:
            needed = (WARM_UP_S + JUDGED_S) / 60
            bars.append(Bar(f"memory of the {what}", None, f"{figures}; told from {needed:.0f} minutes on"))
        else:
            bars.append(
                Bar(f"memory of the {what}", slope < GROWTH_KB, f"{slope:+.0f} kB an hour; {figures}")
            )
    bars.append(_ends(rows))
    bars.append(_latency(rows, bool(CHANGES_BLOCK & set(faults))))
    bars.append(_losses(rows))
    return bars


def _ends(rows: Sequence[Row]) -> Bar:
    """Compare threads and handles at both ends, each in calm."""
    calm = [row for row in rows if row.calm and row.model_threads is not None]
    name = "threads and handles, equal at both ends"
    if len(calm) < 2:
        return Bar(name, None, "no calm at the ends")
    first, last = calm[:AT_AN_END], calm[-AT_AN_END:]
    pairs = [(each, *(min(getattr(row, each) for row in end) for end in (first, last))) for each in ENDS_OF]
    told = ", ".join(f"{each.replace('_', ' ')} {began} and {ended}" for each, began, ended in pairs)
    return Bar(name, all(began == ended for _, began, ended in pairs), told)


def _latency(rows: Sequence[Row], block_changed: bool) -> Bar:
    """Compare what was measured in calm with what was reported, and with what it was at first.

    A block that changes and comes back does so within a hop: calls and hops may then lie in another way, for
    which less than a block more is kept ready.
    """
    name = "latency, equal to the sample"
    calm = [row for row in rows if row.calm and row.least is not None and row.latency is not None]
    if not calm:
        return Bar(name, None, "no click was measured")
    off = sorted({each - row.latency for row in calm for each in (row.least, row.most)})
    reported = sorted({row.latency for row in calm})
    ends = (calm[0].latency, calm[-1].latency)
    told = (
        f"{len(calm)} readings, {ends[0]} frames at first, {ends[1]} at last, measured minus reported: {off}"
    )
    grown = calm[0].block or 1 if block_changed else 1
    return Bar(name, off == [0] and reported[-1] - reported[0] < grown, told)


def _losses(rows: Sequence[Row]) -> Bar:
    """Compare what was lost in calm with what a plain client has lost in the same time."""
    lost = {"underruns": 0, "overruns": 0, "plain_xruns": 0, "plain_skipped": 0, "late_masks": 0}
    seconds = 0.0
    for before, row in itertools.pairwise(rows):
        if not row.calm or any(getattr(each, name) is None for each in (before, row) for name in lost):
            continue
        seconds += row.t - before.t
        for name in lost:
            lost[name] += max(0, getattr(row, name) - getattr(before, name))
    name = "losses between the faults, no more than those of a plain client"
    if not seconds:
        return Bar(name, None, "no plain client beside it, or no calm")
    ours, plain = lost["underruns"] + lost["overruns"], lost["plain_xruns"] + lost["plain_skipped"]
    # A stalled processor hits one or the other: two counts of rare events differ by their spread.
    allowed = plain + math.ceil(3 * math.sqrt(plain)) if plain else 0
    told = (
        f"{ours} (allowed {allowed}); the plain client: {lost['plain_xruns']} xruns, "
        f"{lost['plain_skipped']} skipped calls; {lost['late_masks']} late masks; in {seconds:.0f} s of calm"
    )
    return Bar(name, ours <= allowed, told)
