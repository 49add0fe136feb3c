"""The figures of an evaluation: summary, tables, plot, and JSON files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Column, Table

from rtsep.errors import InputFileError, OutputError
from rtsep.files.audiofile import make_folder
from rtsep.terminal import plain_console
from train.data.cache import whole_file
from train.score.metrics import BSS_METRICS, standard_error

TARGETS = ("vocals", "accompaniment")
METRICS = (*BSS_METRICS, "si_sdr")
MODEL = "model"  # the key of the model that was scored, among the systems of `scores`

TITLES = {"sdr": "SDR", "isr": "ISR", "sir": "SIR", "sar": "SAR", "si_sdr": "SI-SDR"}
DPI = 110

# Okabe and Ito's colours, distinct for colour-blind readers, together with shapes.
STYLES: dict[str, dict[str, Any]] = {
    "mixture": {"color": "#888888", "marker": "|", "linewidths": 2},
    "oracle_ratio": {"color": "#009e73", "marker": "^"},
    "oracle_phase": {"color": "#56b4e9", "marker": "v"},
    MODEL: {"color": "#d55e00", "marker": "o"},
}
PEER_STYLE: dict[str, Any] = {"color": "#0072b2", "marker": "D"}

Content = dict[str, Any]
"""The result of `train.score.evaluate.evaluate`, and the content of its JSON."""


def summarise(rows: list[Content]) -> dict[str, float | None]:
    """Return mean, standard error and median over tracks of the figures of each system.

    The keys are `SYSTEM_TARGET_METRIC_mean`, `..._se` and `..._median`. A value is None if no track has a
    figure; a standard error is None for a single track, too.
    """
    summary: dict[str, float | None] = {}
    for system in rows[0]["scores"]:
        for target in TARGETS:
            for metric in METRICS:
                values = np.asarray([row["scores"][system][target][metric] for row in rows], np.float64)
                known = values[~np.isnan(values)]
                key = f"{system}_{target}_{metric}"
                for kind, how in (("mean", np.mean), ("se", standard_error), ("median", np.median)):
                    value = float(how(known)) if known.size else math.nan
                    summary[f"{key}_{kind}"] = None if math.isnan(value) else round(value, 3)
    return summary


@dataclass(frozen=True)
class Paired:
    """Paired difference of two systems on the same tracks, in dB."""

    mean: float
    se: float  # nan for a single track
    count: int

    @classmethod
    def of(cls, one: Mapping[str, float | None], other: Mapping[str, float | None]) -> Paired | None:
        """Return the difference over the tracks with both figures; None if there are none."""
        pairs = [(one[name], other.get(name)) for name in one]
        differences = np.array([a - b for a, b in pairs if a is not None and b is not None])
        differences = differences[np.isfinite(differences)]
        if not differences.size:
            return None
        return cls(float(differences.mean()), standard_error(differences), differences.size)

    def __str__(self) -> str:
        return f"{self.mean:+.2f}" + (f" ± {self.se:.2f}" if self.count > 1 else "")


def mean_first(figures: Mapping[str, Any], name: str, nothing: str = "-") -> str:
    """Return mean, standard error and, in brackets, median of the figure `name`, if they are known."""
    mean, error, median = (figures.get(f"{name}_{kind}") for kind in ("mean", "se", "median"))
    if mean is None and median is None:
        return nothing
    text = nothing if mean is None else shown(mean)
    text += "" if error is None else f" ± {shown(error)}"
    return text if median is None else f"{text} ({shown(median)})"


def shown(value: float | None) -> str:
    """Return a figure in dB for tables, pages and legends."""
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"


def print_scores(content: Content) -> None:
    """Print the figures of the model by track, means and medians of all systems, cost, and skipped tracks."""
    console = plain_console(log_width=120)
    columns = [("vocals", metric) for metric in METRICS]
    columns += [("accompaniment", "sdr"), ("accompaniment", "si_sdr")]
    heads = [f"{'voc.' if target == 'vocals' else 'acc.'} {TITLES[metric]}" for target, metric in columns]

    table = Table(Column("track", no_wrap=True), *(Column(head, justify="right") for head in heads))
    for row in content["clips"]:
        scores = row["scores"][MODEL]
        table.add_row(row["clip"], *(shown(scores[target][metric]) for target, metric in columns))
    console.print(table)

    summary = content["summary"]
    heads = ["over tracks", *heads]
    table = Table(Column("system", no_wrap=True), *(Column(head, justify="right") for head in heads))
    for system, about in content["systems"].items():
        for kind, named in (("mean", "mean"), ("se", "std. error"), ("median", "median")):
            keys = (f"{system}_{target}_{metric}_{kind}" for target, metric in columns)
            title = about["title"] if kind == "mean" else ""
            table.add_row(title, named, *(shown(summary[key]) for key in keys))
    console.print(table)

    window = next((about["window"] for about in content["systems"].values() if "window" in about), None)
    if window:
        console.print(f"oracle masks: {window}", markup=False, highlight=False)
    cost = content["cost"]
    console.print(
        f"{summary['clips']} tracks scored, {summary['skipped']} skipped; a step takes "
        f"{cost['step_ms']:.3f} ms of a hop's {cost['hop_ms']:.2f} ms, real-time factor "
        f"{cost['realtime_factor']:.3f} (one thread, indicative)",
        markup=False, highlight=False,
    )  # fmt: skip
    for skipped in content["skipped"]:
        console.print(f"skipped: {skipped['reason']}", markup=False, highlight=False)


def plot_scores(content: Content, path: Path) -> None:
    """Draw the SDR of vocals and accompaniment of all systems by track, the best of the model on top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def key(row: Content) -> float:
        return float(np.nan_to_num(row["scores"][MODEL]["vocals"]["sdr"], nan=-np.inf))

    rows = sorted(content["clips"], key=key)
    places = np.arange(len(rows))
    figure = Figure(figsize=(12, 2.2 + 0.27 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    summary = content["summary"]
    for axis, target in zip(axes, TARGETS, strict=True):
        for system, about in content["systems"].items():
            style = STYLES.get(system, PEER_STYLE)
            values = np.array([row["scores"][system][target]["sdr"] for row in rows], np.float64)
            mean = summary[f"{system}_{target}_sdr_mean"]
            on_top = {"zorder": 4, "s": 52} if system == MODEL else {"zorder": 3, "s": 30}
            axis.scatter(values, places, label=f"{about['title']} ({shown(mean)} dB)", **style, **on_top)
            if mean is not None:
                axis.axvline(mean, color=style["color"], linewidth=1, alpha=0.6, zorder=1)
        axis.set_title(f"{target}, SDR in dB")
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
        axis.tick_params(axis="y", length=0)
        _spare_outliers(axis, [row["scores"][s][target]["sdr"] for row in rows for s in content["systems"]])
    axes[0].set_yticks(places, [_short(row["clip"]) for row in rows])
    axes[0].set_ylim(-0.7, len(rows) - 0.3)
    for axis, place in zip(axes, ("left", "right"), strict=True):
        box = {"loc": f"outside lower {place}", "fontsize": 9, "frameon": False}
        figure.legend(*axis.get_legend_handles_labels(), **box)
    figure.suptitle(
        f"{content['model']}: museval v4 SDR of {len(rows)} tracks; lines and brackets: mean over tracks",
        fontsize=11,
    )
    make_folder(path.parent)
    figure.savefig(path, dpi=DPI)


def _spare_outliers(axis: Any, values: list[float]) -> None:
    # A track almost without voice is at -40 dB and would squeeze the others: cut off, with a note.
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        return
    low, high = np.percentile(known, (2, 100))
    beyond = int((known < low - 6).sum())
    if beyond:
        axis.set_xlim(low - 4, high + 1.5)
        note = f"< {beyond} further left, down to {known.min():.0f} dB"
        axis.text(0.01, 0.995, note, transform=axis.transAxes, fontsize=8, va="top", color="#555555")


def _short(name: str, max_length: int = 44) -> str:
    return name if len(name) <= max_length else name[: max_length - 1] + "…"


def write_scores(content: Content, path: Path) -> None:
    """Write the JSON, as a whole or not at all; missing figures are null. Raises `OutputError`."""
    text = json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"
    with whole_file(path) as file:
        file.write(text.encode())


def check_writable(path: Path) -> None:
    """Raise `OutputError` if `path` cannot be written, before hours of work rather than after."""
    if path.is_dir():
        raise OutputError(f"{path}: a folder; give a file")
    make_folder(path.parent)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def read_scores(path: Path) -> Content:
    """Read the JSON of an evaluation; `InputFileError` for another file."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path}: cannot be read as JSON ({error})") from None
    needed = {"command", "model", "model_sha256", "card", "systems", "cost", "summary", "clips"}
    missing = needed - set(content) if isinstance(content, dict) else needed
    if missing:
        raise InputFileError(
            f"{path}: not the figures of an evaluation ({', '.join(sorted(missing))} missing); "
            "write it again with 'python -m train evaluate --json'"
        )
    # Old evaluations have no standard errors; these are computed from their tracks.
    computed = summarise(content["clips"]) if content["clips"] else {}
    return dict(content) | {"summary": computed | content["summary"]}
