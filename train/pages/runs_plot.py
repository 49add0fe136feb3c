"""The figure of all runs: voice and leak on the validation songs against hours of audio."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.data.cache import whole_file
from train.pages.record import Record
from train.score.scores import DPI

# Okabe and Ito's colours without the pale yellow; further rounds differ by the stroke.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
LABEL_INCHES = 0.19
STROKES = ("-", "--", ":", "-.")
MARKERS = ("o", "D", "^", "s", "v", "P", "X")  # of families
PANELS = {
    "voice_mean": ("voice: validation SDR in dB, mean over clips", 5.0),
    "leak_db": ("leak: voice found in music without any, dB (lower is better)", -22.0),
}
"""Title, and the shown range from the best figure on, in dB.

Without a limit, first steps and failures would squeeze all other curves."""


def fingerprint(records: Sequence[Record]) -> str:
    """Return a checksum of the drawn data; the figure contains it, so that a stale one can be detected."""
    drawn = [(r.name, r.family, r.columns, r.curve) for r in records]
    return hashlib.sha256(json.dumps(drawn).encode()).hexdigest()


def plot_runs(records: Sequence[Record], path: Path) -> None:
    """Draw voice and leak of all runs against hours of audio, with the names at the ends of the curves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter
    from PIL import Image, PngImagePlugin

    families = list(dict.fromkeys(record.family for record in records))
    height = max(4.6, 1.6 + 0.24 * len(records))
    figure = Figure(figsize=(13, height), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    for axis, (column, (title, cut)) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        ends: list[tuple[str, str, float, float]] = []
        for number, record in enumerate(records):
            if record.trained_on_validation and column != "leak_db":
                continue
            points = [(p.get("audio_hours"), p.get(column)) for p in record.points]
            known = np.array([(x, y) for x, y in points if x and y is not None], np.float64).reshape(-1, 2)
            if not known.size:
                continue
            colour = COLOURS[number % len(COLOURS)]
            axis.plot(
                *known.T, color=colour, linewidth=1.6, markersize=3.5,
                linestyle=STROKES[number // len(COLOURS) % len(STROKES)],
                marker=MARKERS[families.index(record.family) % len(MARKERS)],
            )  # fmt: skip
            ends.append((record.name, colour, float(known[-1, 0]), float(known[-1, 1])))
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda hours, _: f"{hours:g}"))
        axis.set_xlabel("hours of audio")
        axis.set_title(title, fontsize=10)
        axis.grid(color="#e4e4e4", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        _spare_the_worst(axis, cut)
        _name_ends(axis, ends, LABEL_INCHES / (height - 1.2))  # the rest is title and legend of the axis
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    description = PngImagePlugin.PngInfo()
    description.add_text("Description", fingerprint(records))
    # A palette makes the file a third as large; it is kept in git.
    picture = Image.open(drawn).convert("RGB").quantize(128)
    with whole_file(path) as file:
        picture.save(file, format="PNG", optimize=True, pnginfo=description)


def _spare_the_worst(axis: Any, cut: float) -> None:
    values = [value for line in axis.lines for value in line.get_ydata()]
    if not values:
        return
    low, high = min(values), max(values)
    if cut > 0:
        low = max(low, high - cut)
    else:
        high = min(high, low - cut)
    room = 0.04 * (high - low) + 0.05
    axis.set_ylim(low - room, high + room)


def _name_ends(axis: Any, ends: Sequence[tuple[str, str, float, float]], gap: float) -> None:
    """Write names in the right margin, near the ends of the curves and at least `gap` (of the axis) apart."""
    from scipy.optimize import isotonic_regression

    if not ends:
        return
    low, high = axis.get_ylim()
    ends = sorted(ends, key=lambda end: end[3])
    # The nearest heights, by least squares, that are `gap` apart and on the axis.
    piled = gap * np.arange(len(ends))
    wanted = np.clip([(end[3] - low) / (high - low) for end in ends], 0, 1)
    heights = piled + isotonic_regression(wanted - piled).x.clip(0, max(0.0, 1 - piled[-1]))
    for (name, colour, hours, value), height in zip(ends, heights, strict=True):
        axis.annotate(
            name, (hours, min(high, max(low, value))), (1.04, height), textcoords="axes fraction",
            color=colour, fontsize=9, va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.5, "shrinkB": 3},
        )  # fmt: skip
