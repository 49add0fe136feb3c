"""The figures of the page: quality and cost of separators by latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rtsep.bench.result import Row
from rtsep.files.audiofile import make_folder

QUALITY, COST = "quality-latency.svg", "cost-latency.svg"

# Okabe and Ito's colours, distinct for colour-blind readers, together with shapes.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "own": ("rtsep", {"color": "#d55e00", "marker": "o", "s": 95, "zorder": 5}),
    "net": ("other nets", {"color": "#0072b2", "marker": "D", "s": 52, "zorder": 4}),
    "classic": ("without training", {"color": "#009e73", "marker": "^", "s": 62, "zorder": 3}),
}
LOWEST_MS, HIGHEST_MS = 1.8, 20_000.0
WHOLE_MS = 60_000.0
"""Position of separators that need the whole recording, beyond a line."""

TICKS = {2: "2 ms", 5: "5", 10: "10", 20: "20", 50: "50", 100: "100", 200: "200", 500: "500",
         1000: "1 s", 2000: "2", 5000: "5", 10_000: "10 s", WHOLE_MS: "whole\nfile"}  # fmt: skip
PALE = "#dddddd"


def kind_of(row: Row) -> str:
    """Return the key of KINDS for the row of a separator."""
    if row.get("own"):
        return "own"
    return "classic" if row.get("params") == 0 else "net"


def draw_quality(rows: Sequence[Row], path: Path) -> None:
    """Draw SDR of vocals and accompaniment by latency; the mixture is a line."""
    figure, axes = _figure(2, 9.2)
    for axis, target in zip(axes, ("vocals", "accompaniment"), strict=True):
        key = f"{target}_sdr"
        # The unprocessed mixture has no latency and no cost.
        zero = next((row[key] for row in rows if row.get("realtime_factor") is None), None)
        if zero is not None:
            axis.axhline(zero, color="#888888", linewidth=1, linestyle="--", zorder=1)
            place = {
                "xy": (0.995, zero),
                "xycoords": ("axes fraction", "data"),
                "textcoords": "offset points",
            }
            axis.annotate(
                "unprocessed mixture", xytext=(0, 4), ha="right", fontsize=8, color="#666666", **place
            )
        axis.set_ylabel(f"{target}: SDR in dB, median over tracks")
        axis.margins(y=0.14)
        _scatter(axis, [row for row in rows if row.get("realtime_factor") is not None], key)
    axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=9)
    axes[1].set_xlabel("latency of the algorithm (logarithmic)")
    _label(figure, axes)
    _save(figure, path)


def draw_cost(rows: Sequence[Row], path: Path) -> None:
    """Draw the share of a core by latency, with the line beyond which live use is impossible."""
    figure, (axis,) = _figure(1, 5.2)
    known = [row for row in rows if row.get("realtime_factor") is not None]
    axis.set_yscale("log")
    axis.margins(y=0.12)
    _scatter(axis, known, "realtime_factor")
    axis.axhline(1, color="#888888", linewidth=1, linestyle="--", zorder=1)
    low, high = axis.get_ylim()
    axis.set_ylim(low, max(high, 1.6))
    axis.axhspan(1, axis.get_ylim()[1], color="#f3f3f3", zorder=0)
    axis.text(0.005, 1.06, "slower than it plays", transform=axis.get_yaxis_transform(), fontsize=8,
              va="bottom", color="#666666")  # fmt: skip
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axis.set_ylabel("of one core (logarithmic)")
    axis.set_xlabel("latency of the algorithm (logarithmic)")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=9)
    _label(figure, [axis])
    _save(figure, path)


def _figure(rows: int, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xlim(LOWEST_MS, 1.9 * WHOLE_MS)
        axis.set_xticks(list(TICKS), list(TICKS.values()))
        axis.minorticks_off()
        axis.grid(color=PALE, linewidth=0.6)
        axis.set_axisbelow(True)
        axis.axvline((HIGHEST_MS * WHOLE_MS) ** 0.5, color="#bbbbbb", linewidth=0.8, linestyle=":")
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    return figure, axes


def _scatter(axis: Any, rows: Sequence[Row], key: str) -> None:
    known = [row for row in rows if row.get(key) is not None]
    axis.named = [(_place(row), row[key], row["title"], kind_of(row)) for row in known]
    for kind, (title, style) in KINDS.items():
        places = [(x, y) for x, y, _, of in axis.named if of == kind]
        if places:
            axis.scatter(*zip(*places, strict=True), label=title, edgecolors="white", linewidths=0.8, **style)


def _place(row: Row) -> float:
    return WHOLE_MS if row.get("latency_ms") is None else float(row["latency_ms"])


# --- names beside points -------------------------------------------------------------------------------

_ASIDE = (9.0, 15.0, 24.0, 34.0)  # in points
_WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_DOT = 7.0  # radius in pixels
_CLEAR = 1.6
"""Minimum ratio of a name's distances to other points and to its own; else it would be ambiguous."""


def _label(figure: Any, axes: Sequence[Any]) -> None:
    """Label each point where its name covers no point, line or other name; rtsep's own come first."""
    figure.canvas.draw()  # computes all positions
    figure.set_layout_engine("none")
    renderer = figure.canvas.get_renderer()
    for axis in axes:
        points = np.array([axis.transData.transform((x, y)) for x, y, _, _ in axis.named])
        inside = axis.get_window_extent(renderer).extents
        taken = [(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in points]
        taken += [tuple(text.get_window_extent(renderer).extents) for text in axis.texts]
        for line in axis.lines[1:]:  # the first line separates whole-file methods, and may be crossed
            (x0, y0), (x1, y1) = line.get_transform().transform(line.get_xydata())
            taken.append((min(x0, x1) - 2, min(y0, y1) - 2, max(x0, x1) + 2, max(y0, y1) + 2))
        order = sorted(range(len(points)), key=lambda n: (list(KINDS).index(axis.named[n][3]), n))
        for n in order:
            x, y, name, kind = axis.named[n]
            own, colour = kind == "own", KINDS[kind][1]["color"]
            text = axis.annotate(
                name, (x, y), (0, 0), textcoords="offset points", fontsize=9 if own else 8,
                fontweight="bold" if own else "normal", color=colour, zorder=6,
            )  # fmt: skip
            others = np.delete(points, n, 0)
            extent = text.get_window_extent(renderer)
            size = np.array([extent.width, extent.height])
            best, least = (_ASIDE[0], _WAYS[0]), np.inf
            for distance in _ASIDE:
                for rank, way in enumerate(_WAYS):
                    box = _box(points[n] + figure.dpi / 72 * _aside(distance, way), size, way)
                    cost = _covered(box, taken, inside) + distance + 0.1 * rank
                    if len(others) and _away(box, others).min() < _CLEAR * _away(box, points[n : n + 1])[0]:
                        cost += 60
                    if cost < least:
                        best, least = (distance, way), cost
            _put(text, *best)
            if best[0] > _ASIDE[1]:
                lead = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 4}
                axis.annotate("", (x, y), text.get_position(), textcoords="offset points", arrowprops=lead)
            taken.append(tuple(text.get_window_extent(renderer).extents))


def _put(text: Any, distance: float, way: tuple[int, int]) -> None:
    right, up = way
    text.set(ha=("right", "center", "left")[right + 1], va=("top", "center", "bottom")[up + 1])
    text.set_position(_aside(distance, way))


def _aside(distance: float, way: tuple[int, int]) -> Any:
    """Return the start of a name, in points from its own point."""
    return np.array(way) * (0.6 * distance if all(way) else distance)


def _box(place: Any, size: Any, way: tuple[int, int]) -> Any:
    """Return the corners of a name that begins at `place` and extends away from its point."""
    low = place - size * (1 - np.array(way)) / 2
    return (*low, *(low + size))


def _covered(box: Any, taken: Any, inside: Any) -> float:
    """Return the pixels of other items that a name covers, plus tenfold those outside the axes."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    return 10 * (sum(_common(box, other) for other in taken) + area - _common(box, inside))


def _common(a: Any, b: Any) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return float(max(0.0, width) * max(0.0, height))


def _away(box: Any, points: Any) -> Any:
    """Return the distances [n] of points [n, 2] from a box."""
    nearest = np.clip(points, [box[0], box[1]], [box[2], box[3]])
    return np.hypot(*(points - nearest).T)


def _save(figure: Any, path: Path) -> None:
    import matplotlib

    make_folder(path.parent)
    # Equal figures give equal files, byte for byte.
    with matplotlib.rc_context({"svg.hashsalt": "rtsep", "figure.dpi": figure.dpi}):
        dateless = {"metadata": {"Date": None}} if path.suffix == ".svg" else {}
        figure.savefig(path, facecolor="white", **dateless)
