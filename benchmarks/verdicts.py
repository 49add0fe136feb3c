"""Comparison of the results with the aims: the first table of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.plan import BY_NAME
from rtsep.bench.bars import HOP_BARS
from rtsep.bench.result import Row
from rtsep.model.catalog import DEFAULT_MODEL
from train.data.cache import RATE

Content = dict[str, Any]

GPU_US = 500.0
START_MS = 2000.0

HELD, MISSED, OPEN = "held", "**missed**", "not measured"


def verdicts(found: Mapping[str, Content]) -> Iterator[tuple[str, str, str, str]]:
    """Yield rows of aim, figures, verdict and benchmark; `found` are results by benchmark."""
    aims = (
        ("hop-cpu", "whole hop on one core: p99 and p99.9 within the share of the hop period that the model "
         "may take", _hop),
        ("hop-cuda", f"the model on a GPU, from host to host: p99.9 at most {GPU_US / 1000:g} ms", _gpu),
        ("roundtrip", "declared latency equals the measured one, to the sample", _roundtrip),
        ("stress", "losses (late masks, underruns, overruns): none without load; under each load no more "
         "than the xruns of a plain C client", _stress),
        ("start", f"warm start to the first sound within {START_MS / 1000:g} s", _start),
        ("file", "file: memory flat, time linear in the length", _file),
    )  # fmt: skip
    for name, aim, judge in aims:
        figures, held = judge(found[name]) if name in found else ("", None)
        verdict = OPEN if held is None else HELD if held else MISSED
        yield aim, figures, verdict, f"[{BY_NAME[name].title}](#{anchor(BY_NAME[name].title)})"


def anchor(title: str) -> str:
    """Return the name of a heading in links."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")


Verdict = tuple[str, bool | None]


def _hop(content: Content) -> Verdict:
    rows = {
        row["model"]: row for row in content["rows"]
        if row["model"] in HOP_BARS and row["stage"] == "whole" and row["rate"] == RATE
        and row["block"] == round(row["hop_us"] * row["rate"] / 1e6)
    }  # fmt: skip
    if DEFAULT_MODEL not in rows:
        return "", None
    figures, held = [], True
    for name, bar in HOP_BARS.items():
        if row := rows.get(name):
            held = held and row["p99_share"] <= bar.p99 and row["p99.9_share"] <= bar.p999
            figures.append(
                f"'{name}' {row['p99_share']:.1%} and {row['p99.9_share']:.1%} "
                f"of {bar.p99:.0%} and {bar.p999:.0%}"
            )
    return "; ".join(figures), held


def _gpu(content: Content) -> Verdict:
    rows = [row for row in content["rows"] if row["stage"] == "model" and row["launch"] == "graph"]
    if not rows:
        return "", None
    rows.sort(key=lambda row: float(row["p99.9"]))
    worst_ms = {row["model"]: row["p99.9"] / 1000 for row in rows}  # the last row of each model
    slowest = rows[-1]["model"]
    figures = f"{worst_ms[slowest]:.3f} ms ('{slowest}', the slowest)"
    if DEFAULT_MODEL in worst_ms and slowest != DEFAULT_MODEL:
        figures = f"{worst_ms[DEFAULT_MODEL]:.3f} ms ('{DEFAULT_MODEL}'); {figures}"
    return figures, rows[-1]["p99.9"] <= GPU_US


def _roundtrip(content: Content) -> Verdict:
    off = {row["feed"]: row["difference"] for row in content["rows"]}
    worst = max(off.values(), key=abs)
    off_by = f"{worst:+d}" if worst else "0"
    return f"{off_by} samples off ({content['rows'][0]['way']})", worst == 0


def _stress(content: Content) -> Verdict:
    from rtsep.bench.stress import OURS, PLAIN, QUIET

    lost = {
        row["load"]: row["late_masks"] + row["underruns"] + row["overruns"]
        for row in content["rows"] if row["client"] == OURS
    }  # fmt: skip
    granted = {row["load"]: row["device_xruns"] for row in content["rows"] if row["client"] == PLAIN}
    granted[QUIET] = 0  # no loss is excused without load
    judged = [load for load in lost if load in granted]
    alone = [load for load in lost if load not in granted]
    if not judged:
        return "no plain C client for comparison", None
    worst = max(judged, key=lambda load: lost[load] - granted[load])
    figures = f"{lost[worst]} against {granted[worst]} ('{worst}', the worst of {len(judged)})"
    if alone:
        figures += f"; no plain C client for comparison: {', '.join(alone)}"
    if lost[worst] > granted[worst]:
        return figures, False
    return figures, None if alone else True


def _start(content: Content) -> Verdict:
    rows: list[Row] = [row for row in content["rows"] if row["caches"] == "warm" and row["name"] == "sound"]
    if not rows:
        return "", None
    (row,) = rows
    figures = f"{row['median_ms'] / 1000:.2f} s, at worst {row['worst_ms'] / 1000:.2f} s of {row['runs']}"
    return figures, row["worst_ms"] <= START_MS


def _file(content: Content) -> Verdict:
    from rtsep.bench.file import APART, FLAT, LINEAR

    rows = content["rows"]
    if rows[-1]["minutes"] < APART * rows[0]["minutes"]:
        return "", None
    memory, time = (max(row[key] for row in rows) / rows[0][key] for key in ("peak_mib", "cpu_factor"))
    span = f"from {rows[0]['minutes']:g} to {rows[-1]['minutes']:g} minutes"
    return f"{memory - 1:+.1%} memory, {time - 1:+.1%} a second, {span}", memory <= FLAT and time <= LINEAR
