"""Durations of hops and the available time: a histogram of the last seconds with the budget marked."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray
from textual.geometry import Size

from rtsep.audio.histogram import HISTOGRAM_STEP_NS
from rtsep.session.counters import percentiles
from rtsep.surfaces.view.bars import RISING, solid
from rtsep.surfaces.view.canvas import Canvas, Part
from rtsep.surfaces.view.palette import BAD, DIM, GOOD, TEXT, TRACK, WARN, Ink

RECENT_S = 10
"""Length of the histogram's past in seconds; earlier problems are in the counters."""

BUDGET_AT = 0.8
"""Position of the budget on the axis; durations beyond the axis count in its last cell."""


class RecentHops:
    """Hops of the last seconds, from the histogram of all."""

    def __init__(self) -> None:
        self._before: deque[NDArray[np.int64]] = deque(maxlen=RECENT_S + 1)  # one per second, oldest first
        self._age_s = math.inf

    def follow(self, histogram: NDArray[np.int64], seconds: float) -> NDArray[np.int64]:
        """Add the `histogram` of all hops, `seconds` after the last one; return that of the recent ones."""
        if self._before and histogram.sum() < self._before[-1].sum():  # another engine
            self._before.clear()
            self._age_s = math.inf
        self._age_s += seconds
        if self._age_s >= 1.0:
            self._before.append(histogram if self._before else np.zeros_like(histogram))
            self._age_s = 0.0
        return np.asarray(histogram - self._before[0])


class HopTimes(Canvas):
    """Line of figures, with the histogram below it in the remaining height."""

    def __init__(self, ink: Ink, *, id: str | None = None) -> None:
        super().__init__(ink, id=id)
        self._recent = RecentHops()
        self._shown: tuple[NDArray[np.int64], float] | None = None

    def follow(self, histogram: NDArray[np.int64], budget_us: float, seconds: float) -> None:
        """Show the result of `Player.hop_histogram`, `seconds` after the previous one."""
        self._shown = (self._recent.follow(histogram, seconds), budget_us)
        self._draw()

    def resized(self, size: Size) -> None:
        """Draw again."""
        self._draw()

    def _draw(self) -> None:
        if self._shown is None or not self.size.width:
            return
        recent, budget_us = self._shown
        height = self.size.height
        found = percentiles(recent)
        self.put(0, self._figures(found, budget_us))
        rows = height - (2 if height >= 5 else 1)
        if rows > 0:
            self._draw_bars(recent, budget_us, rows, found)
        if height >= 5:
            self._draw_axis(height - 1, budget_us, found)

    def _figures(self, found: dict[str, float], budget_us: float) -> list[Part]:
        ink, worst = self.ink, found["p99"] / budget_us
        colour = BAD if worst > 1 else WARN if worst > 0.75 else GOOD
        return [
            ("hop p50 ", ink.dim),
            (f"{found['p50'] / 1000:.2f}", ink.base),
            (" p99 ", ink.dim),
            (f"{found['p99'] / 1000:.2f}", ink(colour, bold=True)),
            (" max ", ink.dim),
            (f"{found['max'] / 1000:.2f}", ink.base),
            ("/", ink.dim),
            (f"{budget_us / 1000:.2f} ms", ink.bold),
        ]

    def _cells(self, histogram: NDArray[np.int64], budget_us: float) -> NDArray[np.int64]:
        """Return hops per cell, [width]; the budget ends at cell BUDGET_AT * width."""
        width = self.size.width
        upper_us = np.arange(1, len(histogram) + 1) * (HISTOGRAM_STEP_NS / 1000.0)
        cell = np.minimum((upper_us / budget_us * self._line_at).astype(np.int64), width - 1)
        return np.bincount(cell, weights=histogram, minlength=width).astype(np.int64)

    @property
    def _line_at(self) -> int:
        return int(BUDGET_AT * self.size.width)

    def _draw_bars(
        self, histogram: NDArray[np.int64], budget_us: float, rows: int, found: dict[str, float]
    ) -> None:
        counts = self._cells(histogram, budget_us)
        most = max(1, int(counts.max()))
        # Logarithmic, because a single late hop among thousands must be visible.
        heights = np.log1p(counts) / math.log1p(most) * rows * 8
        eighths = np.where(counts > 0, np.maximum(1, np.round(heights)), 0).astype(np.int64).tolist()
        line, ink = self._line_at, self.ink
        marks = self._marks(budget_us, found)
        for row in range(rows):
            floor = (rows - 1 - row) * 8
            parts: list[Part] = []
            for cell, eighth in enumerate(eighths):
                here = min(8, max(0, eighth - floor))
                colour = BAD if cell >= line else WARN if cell >= 0.75 * line else GOOD
                if here == 8:
                    parts.append(solid(ink, 1, colour))
                elif here:
                    parts.append((RISING[here], ink(colour)))
                elif cell == line:
                    parts.append(("┃", ink(BAD)))
                elif cell in marks:
                    parts.append(("┊", ink(DIM)))
                else:
                    parts.append((" ", ink.base) if row < rows - 1 else ("▁", ink(TRACK, dim=ink.plain)))
            self.put(1 + row, parts)

    def _marks(self, budget_us: float, found: dict[str, float]) -> dict[int, str]:
        """Return the cells of p99 and p50; only p50 if they share one."""
        last = self.size.width - 1
        places = ((found["p99"], "p99"), (found["p50"], "p50"))
        return {min(last, int(us / budget_us * self._line_at)): name for us, name in places if us > 0}

    def _draw_axis(self, y: int, budget_us: float, found: dict[str, float]) -> None:
        width = self.size.width
        text = [" "] * width
        for cell, label in [(self._line_at, "budget"), *self._marks(budget_us, found).items()][::-1]:
            start = max(0, min(width - len(label), cell - len(label) // 2))
            if "".join(text[max(0, start - 1) : start + len(label) + 1]).strip() == "":
                text[start : start + len(label)] = label
        self.put(y, [("".join(text), self.ink(TEXT if self.ink.plain else DIM))])
