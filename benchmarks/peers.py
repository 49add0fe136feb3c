"""`peers`: rtsep's models beside other separators, on the same tracks and the same machine.

For each: the latency of its algorithm, its cost on one core, and museval's SDR of vocals and accompaniment.
Systems that are not installed are listed and left out.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import cost, quality
from benchmarks.output import command_line, write_result
from benchmarks.quality import MIXTURE
from benchmarks.systems import FAMILIES, SYSTEMS, check_name, not_compared
from benchmarks.unfinished import Unfinished
from rtsep.bench.result import Column, Result, Row, machine
from rtsep.errors import UsageError
from rtsep.model.catalog import shipped_folder
from rtsep.model.package import ModelPackage, read_package
from train.data.cache import RATE
from train.data.tracks import find_tracks, select_tracks, track_name
from train.score.evaluate import names_of
from train.score.scores import TARGETS

SCORES = Path(__file__).parents[1] / "train/results"
UNFINISHED = Path("out/peers.json.unfinished")
OFFLINE_S = 118.0  # ten whole pieces of Spleeter's, which also computes the empty part of the last one

COLUMNS = (
    Column("title", "system"),
    Column("runs", "runs"),
    Column("latency_samples", "latency, samples", "{:,}"),
    Column("latency_ms", "ms", "{:,.1f}"),
    Column("params", "parameters", "{:,}"),
    Column("realtime_factor", "of one core", "{:.1%}"),
    Column("median", "hop, us: median", "{:.0f}"),
    Column("p99", "p99", "{:.0f}"),
    Column("p99.9", "p99.9", "{:.0f}"),
    Column("max", "max", "{:.0f}"),
    Column("p99_share", "p99 / hop", "{:.1%}"),
    Column("vocals_sdr", "vocals SDR", "{:.2f}"),
    Column("vocals_sdr_mean", "mean", "{:.2f}"),
    Column("accompaniment_sdr", "accompaniment SDR", "{:.2f}"),
    Column("accompaniment_sdr_mean", "mean", "{:.2f}"),
)

EXPLAINED = (
    "latency: of the algorithm, the filling of a hop included; '-': needs the whole recording",
    "of one core: if it runs live, the median time of a paced hop as a share of the hop period; else the "
    "real-time factor",
    "SDR in dB: museval v4, median over frames of 1 s, then over tracks; next column: the mean over tracks",
)


def peers(
    data: Sequence[Path],
    tracks: Sequence[str] = (),
    systems: Sequence[str] = tuple(SYSTEMS),
    scores: Path | None = SCORES,
    seconds: float = 30.0,
    more_models: Sequence[Path] = (),
    workers: int = 1,
    kept: Path | None = None,
) -> Result:
    """Measure the shipped models, `more_models` and `systems` on the tracks in `data`, or those named.

    Figures of an interrupted run in the file `kept` are not measured again; new figures are added to it.
    """
    if not seconds > 0:
        raise UsageError(f"--seconds {seconds:g}: must be more than 0")
    if workers < 1:
        raise UsageError(f"--workers {workers}: must be at least 1")
    paths = find_tracks(data)
    if tracks:
        paths = select_tracks(paths, tracks)
    own = [read_package(path) for path in sorted(shipped_folder().glob("*.pt"))]
    models = [*own, *(read_package(path) for path in more_models)]
    for name in systems:
        check_name(name)
    _check_names([MIXTURE, *systems, *(package.spec.name for package in models)])
    unfinished = Unfinished(kept, {package.spec.name: package.sha256 for package in models})
    here = machine()
    about = {"seconds": seconds, "processor": here["processor"], "versions": here["versions"]}
    costs = {}
    known = unfinished.costs(about)
    if known or unfinished.figures():
        print(f"continued from {kept}; remove this file to measure everything again", file=sys.stderr)
    for package in models:
        name = package.spec.name
        if name not in known:
            print(f"cost of the model {name}, paced", file=sys.stderr)
            known[name] = _model_row(package, package in own, seconds)
            unfinished.keep_cost(name, known[name], about)
        costs[name] = known[name]
    there, missing = [], []
    for name in systems:
        try:
            if name not in known:
                print(f"cost of {name}", file=sys.stderr)
                recording_s = OFFLINE_S * min(1.0, seconds / 10)
                known[name] = cost.alone(cost.cost_of_system, name, seconds, recording_s)
                unfinished.keep_cost(name, known[name], about)
            costs[name] = known[name]
            there.append(name)
        except UsageError as error:  # not installed
            missing.append(f"{name}: not measured: {str(error).removeprefix('--peer: ')}")
    missing += [f"{name}: not measured: not chosen with --systems" for name in SYSTEMS if name not in systems]
    found = quality.earlier(scores, models, [MIXTURE, *there])
    judged = quality.score(paths, models, there, found, workers, unfinished)
    skipped = [track_name(path) for path in judged["skipped"]]
    paths = [path for path in paths if path not in judged["skipped"]]
    rows: list[Row] = [
        {"system": name} | costs.get(name, _mixture()) | _scores(judged, name) for name in (*costs, MIXTURE)
    ]
    rows.sort(key=lambda row: -_sortable(row["vocals_sdr"]))
    taken = len(paths) * len(rows) - judged["again"]
    notes = [*missing, *not_compared({package.spec.system for package in models}), *EXPLAINED]
    if taken:
        notes.append(f"{taken} of {len(paths) * len(rows)} figures come from 'python -m train evaluate'")
    if skipped:
        notes.append(f"{len(skipped)} tracks cannot be read and are left out: {', '.join(skipped)}")
    title = f"separators on {len(paths)} tracks"
    settings = {
        "tracks": [track_name(path) for path in paths], "seconds": seconds, "rate": RATE,
        "scores_measured": judged["again"], "scores_taken_over": taken,
        "tracks_skipped": skipped,
    }  # fmt: skip
    return Result("peers", title, COLUMNS, rows, settings, notes, command_line())


def _check_names(names: Sequence[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(
            f"--model: two systems have the name {', '.join(sorted(twice))}; "
            "export one model under another name"
        )


def _model_row(package: ModelPackage, ships: bool, seconds: float) -> Row:
    spec = package.spec
    rate = RATE if RATE in spec.rates else spec.rates[0]
    row = cost.alone(cost.cost_of_model, package.path, rate, seconds)
    return {
        "title": f"rtsep {spec.name}" if ships else FAMILIES.get(spec.system, f"{spec.name} ({spec.system})"),
        "runs": "live", "own": ships, "model_sha256": package.sha256, "params": spec.params,
        "licence": spec.licence, "rate": rate, "latency_samples": spec.algorithmic_latency,
        "latency_ms": round(1000 * spec.algorithmic_latency / rate, 2),
        "realtime_factor": round(row["median"] / row["hop_us"], 4),
    } | {key: row[key] for key in _TIMES}  # fmt: skip


_TIMES = ("hop_us", "hops", "median", "p99", "p99.9", "max", "p99_share", "p99.9_share")


def _mixture() -> Row:
    return {"title": "unprocessed mixture"}


def _scores(judged: dict[str, Any], name: str) -> Row:
    summary = judged["summary"]
    row: Row = {}
    for target in TARGETS:
        row[f"{target}_sdr"] = summary[f"{name}_{target}_sdr_median"]
        row[f"{target}_sdr_mean"] = summary[f"{name}_{target}_sdr_mean"]
    clips = {
        clip: [round(value, 3) if math.isfinite(value) else None for value in values]
        for clip, values in judged["clips"][name].items()
    }
    return row | {"clips": clips}


def _sortable(value: float | None) -> float:
    return -math.inf if value is None else value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--data", type=Path, action="append", required=True, metavar="PATH",
        help="test tracks as for 'python -m train evaluate'; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--model", type=Path, action="append", default=[], metavar="FILE",
        help="a further model file; may be given several times",
    )  # fmt: skip
    parser.add_argument("--tracks", type=names_of, default=(), metavar="NAME,...", help="only these")
    parser.add_argument("--systems", type=names_of, default=tuple(SYSTEMS), metavar="NAME,...",
                        help=f"other separators: {', '.join(SYSTEMS)}, or none (all)")  # fmt: skip
    parser.add_argument(
        "--scores", type=Path, default=SCORES, metavar="FOLDER",
        help="results of 'evaluate': figures of the same files and tracks are reused (train/results)",
    )  # fmt: skip
    parser.add_argument(
        "--rescore", "--anew", action="store_true", help="reuse no figures of 'evaluate', score all tracks"
    )
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S",
                        help="length of each paced run (%(default)s)")  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, metavar="N",
                        help="processes that score, after all costs are measured (%(default)s)")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures")
    parser.add_argument(
        "--unfinished", type=Path, metavar="FILE",
        help="file of intermediate figures: after an interruption the same command continues from it "
        f"(beside --json, else {UNFINISHED})",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    scores = None if options.rescore else options.scores
    if scores is not None and not scores.is_dir():
        raise UsageError(f"--scores {scores}: no such folder; leave it out, or give --rescore")
    kept = options.unfinished or unfinished_of(options.json)
    result = peers(
        options.data, options.tracks, options.systems, scores, options.seconds, options.model,
        options.workers, kept,
    )  # fmt: skip
    write_result(result, options.json)
    kept.unlink(missing_ok=True)


def unfinished_of(json_path: Path | None) -> Path:
    """Return the file in which a run with figures in `json_path` stores intermediate results."""
    return json_path.with_name(f"{json_path.name}.unfinished") if json_path else UNFINISHED
