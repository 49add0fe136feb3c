"""One page of all pieces in a folder: bars, figures over time, faults on the same axis."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.soak.readings import Row, row_of

PAGE = "README.md"
OURS, MODEL, PLAIN, FAULT, PALE = "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#dddddd"
"""Okabe and Ito's, which colour-blind readers tell apart."""

_VERDICTS = {True: "met", False: "**not met**", None: "not judged"}


def write_page(folder: Path) -> Path:
    """Write the page of the pieces in `folder` with a figure for each; return its path."""
    pieces = [(path, json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
    hours = sum(piece["seconds"] for _, piece in pieces) / 3600
    faults = sum(len(piece["events"]) for _, piece in pieces)
    lines = ["# Soak", "", f"{len(pieces)} pieces, {hours:.2f} hours, {faults} faults.", ""]
    lines += ["| piece | server | seed | minutes | faults | bars |", "| --- | --- | --- | --- | --- | --- |"]
    for path, piece in pieces:
        bars = [bar["met"] for bar in piece["bars"]]
        told = f"{bars.count(True)} met, {bars.count(False)} not met, {bars.count(None)} not judged"
        lines.append(
            f"| {path.stem} | {piece['server']} | {piece['seed']} | {piece['seconds'] / 60:.1f} | "
            f"{len(piece['events'])} | {told} |"
        )
    for path, piece in pieces:
        lines += ["", f"## {path.stem}", "", f"`{piece['again']}`, {piece['machine']}", ""]
        lines += [f"- {_VERDICTS[bar['met']]}: {bar['name']}: {bar['figures']}" for bar in piece["bars"]]
        lines += [f"- {note}" for note in piece["notes"]]
        rows = [row_of(values) for values in piece["rows"]]
        if rows:
            draw(rows, piece["events"], path.with_suffix(".png"), path.stem)
            lines += ["", f"![{path.stem}]({path.with_suffix('.png').name})"]
    page = folder / PAGE
    page.write_text("\n".join([*lines, ""]))
    return page


def draw(rows: Sequence[Row], events: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Draw memory, threads and handles, latency and losses over time, with all faults."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 11), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    names, memory, held, latency, losses = figure.subplots(5, 1, sharex=True, height_ratios=(1.6, 1, 1, 1, 1))
    unit, what = (60.0, "minutes") if rows[-1].t > 600 else (1.0, "seconds")

    def line(axis: Any, value: Callable[[Row], Any], label: str, **style: Any) -> None:
        points = [(row.t / unit, found) for row in rows if (found := value(row)) is not None]
        if points:
            axis.plot(*zip(*points, strict=True), label=label, **style)

    _draw_faults(names, events, unit)
    line(memory, lambda row: row.session_kb and row.session_kb / 1024, "session", color=OURS)
    line(memory, lambda row: row.model_kb and row.model_kb / 1024, "model process", color=MODEL)
    memory.set_ylabel("resident, MB")
    line(held, lambda row: row.session_threads, "threads", color=OURS)
    line(held, lambda row: row.session_handles, "handles", color=OURS, linestyle="--")
    line(held, lambda row: row.model_threads, "threads of the model", color=MODEL)
    line(held, lambda row: row.model_handles, "handles of the model", color=MODEL, linestyle="--")
    held.set_ylabel("threads, handles")
    line(latency, lambda row: row.latency, "reported", color="#888888")
    dots = {"linestyle": "", "marker": ".", "markersize": 4}
    line(latency, lambda row: row.most if row.calm else None, "measured in calm", color=OURS, **dots)
    line(latency, lambda row: None if row.calm else row.most, "measured beside a fault", color=FAULT, **dots)
    latency.set_ylabel("latency, frames")
    line(losses, lambda row: _sum(row.underruns, row.overruns), "underruns, overruns", color=OURS)
    line(losses, lambda row: row.late_masks, "late masks", color=MODEL)
    line(losses, lambda row: _sum(row.plain_xruns, row.plain_skipped), "plain client", color=PLAIN)
    line(losses, lambda row: row.device_xruns, "xruns of the server", color="#888888", linestyle=":")
    losses.set_ylabel("lost so far")
    losses.set_yscale("symlog", linthresh=10)
    losses.set_xlabel(what)
    for axis in (memory, held, latency, losses):
        for event in events:
            axis.axvspan(event["t"] / unit, event["over"] / unit, color=FAULT, alpha=0.25, linewidth=0)
        axis.grid(color=PALE, linewidth=0.6)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    figure.savefig(path, facecolor="white", dpi=90)


def _draw_faults(axis: Any, events: Sequence[dict[str, Any]], unit: float) -> None:
    """Draw a row for each kind of fault."""
    kinds = sorted({event["kind"] for event in events}, reverse=True)
    for event in events:
        place = kinds.index(event["kind"])
        axis.plot([event["t"] / unit, max(event["over"], event["t"] + 0.5) / unit], [place, place],
                  color=FAULT, linewidth=5, solid_capstyle="butt")  # fmt: skip
    axis.set_yticks(range(len(kinds)), kinds, fontsize=8)
    axis.set_ylim(-0.7, max(0.7, len(kinds) - 0.3))
    axis.grid(color=PALE, linewidth=0.6)


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second
