"""`robustness`: measure a model on silence, instrumentals, a dry voice, speech, levels and another rate.

Each measure has a limit; a measure that cannot be made is listed with the reason. Everything plays through
the signal path of live playing. Level, rate and bands use the tracks in `--data`, else the validation songs
of the cache, so that development needs no test tracks.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Column, Table

from rtsep.errors import InputFileError, UsageError, suggest
from rtsep.limits import DEVICES
from rtsep.model.package import ModelPackage, read_package
from rtsep.offline.separator import Separator
from rtsep.terminal import plain_console
from train.data.cache import RATE, default_cache
from train.data.excerpts import scored_songs
from train.data.tracks import find_tracks
from train.score.evaluate import card, names_of
from train.score.measuring import Bench, Clip, Measure, Worker, start_process
from train.score.processes import open_workers
from train.score.robustness_measures import AS_IS, MEASURES, score_clip
from train.score.scores import TARGETS, Content, check_writable, write_scores


def robustness(
    model: Path,
    cache: Path,
    data: Path | Sequence[Path] | None = None,
    json_path: Path | None = None,
    workers: int = 1,
    *,
    device: str = "cpu",
    only: Sequence[str] = (),
) -> Content:
    """Make all measures of `model`, print them, and return what the JSON at `json_path` holds.

    `data`: tracks with stems for level, rate and bands; without, the validation songs of the cache. Damaged
    tracks are named and counted. `only`: the names of the measures to make; the others are taken from
    `json_path`, which has to be of the same model. Raises `ModelError` or `InputFileError` if model, cache,
    `data` or that file cannot be used, `UsageError` for an unknown name.
    """
    wanted = _named(only) if only else MEASURES
    if json_path is not None:
        check_writable(json_path)
    package = read_package(model)
    before = _read_before(json_path, package) if only and json_path is not None else None
    worker = Worker.start(
        model, cache, device
    )  # before any other process, so that an error is one clear line
    clips: list[Clip] = []
    if data:
        clips += find_tracks([data] if isinstance(data, Path) else data)
    else:
        clips += scored_songs(worker.cache)
    with contextlib.ExitStack() as stack:
        pool = None
        if workers > 1:
            pool = stack.enter_context(open_workers(workers, start_process, (model, cache, device)))
        bench = Bench(worker, clips, pool)
        measures = [measure(bench) for measure in wanted]
    command = "python -m train " + shlex.join(sys.argv[1:])
    made: Content = {measure.name: measure.to_json() for measure in measures}
    if before is not None:
        content = before | {"command": f"{before['command']} && {command}"}
        content["measures"] = before["measures"] | made
    else:
        rows, skipped = bench.of_clips(score_clip, "level, rate") if clips and not only else ([], [])
        latency = Separator(worker.model, RATE, 2).latency  # type: ignore[arg-type]
        content = {
            "command": command,
            "model": package.spec.name,
            "model_sha256": package.sha256,
            "card": card(package) | {"played_latency_samples": latency, "played_rate": RATE},
            "measures": made,
            "clips_from": "tracks of --data" if data else "validation songs of the cache",
            "clips": rows,
            "skipped": [{"track": result.path.name, "reason": result.reason} for result in skipped],
        }
    met = [measure["met"] for measure in content["measures"].values()]
    bars = {"met": met.count(True), "missed": met.count(False), "not_measured": met.count(None)}
    content["bars"] = bars
    print_measures(measures, content)
    if json_path is not None:
        write_scores(content, json_path)
    return content


def _named(names: Sequence[str]) -> list[Callable[[Bench], Measure]]:
    """Return the measures of these names; raises `UsageError` for a name that there is not."""
    known = {measure.__name__.replace("_", " "): measure for measure in MEASURES}
    for name in names:
        if name not in known:
            raise UsageError(f"--only '{name}': one of {', '.join(known)}{suggest(name, known)}")
    return [known[name] for name in names]


def _read_before(path: Path, package: ModelPackage) -> Content | None:
    """Return the content of `path` to add measures to; None if missing. Raises `InputFileError`."""
    if not path.exists():
        return None
    try:
        content: Content = json.loads(path.read_bytes())
        same = content["model_sha256"] == package.sha256 and {"command", "measures"} <= content.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputFileError(
            f"{path}: no JSON of 'robustness' ({error}); remove it or give another file"
        ) from None
    if not same:
        raise InputFileError(f"{path}: its measures belong to another model file; give another file")
    return content


def print_measures(measures: Sequence[Measure], content: Content) -> None:
    """Print each measure with its limit and details, and the clips that were used and skipped."""
    console = plain_console(log_width=120)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    table = Table(
        Column("measure", no_wrap=True), "what", Column("figure", justify="right"), "bar", "met",
        title=content["model"],
    )  # fmt: skip
    for measure in measures:
        verdict = "not measured" if measure.met is None else "yes" if measure.met else "NO"
        table.add_row(measure.name, measure.asks, measure.shown, measure.bar, verdict)
    console.print(table)
    for measure in measures:
        for line in [f"not measured: {measure.reason}"] if measure.reason else _behind(measure):
            say(f"{measure.name}: {line}")
    bars = content["bars"]
    say(
        f"{bars['met']} bars met, {bars['missed']} missed, {bars['not_measured']} not measured; level and "
        f"rate on {len(content['clips'])} {content['clips_from']}, {len(content['skipped'])} skipped"
    )
    for skipped in content["skipped"]:
        say(f"skipped: {skipped['reason']}")


def _behind(measure: Measure) -> list[str]:
    details = measure.details
    if "vocals_dbfs" in details:
        return ["vocals {vocals_dbfs:.1f}, instrumental {instrumental_dbfs:.1f} dBFS".format(**details)]
    if "pairs" in details:
        means = "singing {singing_sdr_mean:.2f}, speech {speech_sdr_mean:.2f} dB in the mean"
        paired = "paired difference {mean:.2f} in the mean, {median:.2f} in the median"
        besides = "{unprocessed_mean:.2f} between the mixtures; {actors} actors, {pieces} pieces"
        return ["; ".join((means, paired, besides)).format(**details)]
    if "dips" in details:
        shown = "mean {mean:+.2f} ± {se:.2f}, median {median:+.2f} dB".format(**details)
        dips = "{dips:.1%} of the frames below {dip_db:g} dB".format(**details)
        lowest = "lowest {clip} {db:+.2f} dB".format(**details["lowest"])
        return [f"{shown} of {len(details['bands'])} clips; {dips}; {lowest}"]
    if "worst" in details:
        sources = ", ".join(f"{source} {db:.2f}" for source, db in details["means_by_source"].items())
        worst = ", ".join(f"{row['name']} {row['db']:.2f}" for row in details["worst"])
        summary = "mean {mean:.2f} ± {se:.2f}, median {median:.2f} dB".format(**details)
        lines = [f"{summary} of {len(details['excerpts'])} excerpts; means: {sources}"]
        return lines + [f"worst {worst}"] + [f"left out, silent: {name}" for name in details["left_out"]]
    if "changes" in details:
        short = dict(zip(TARGETS, ("voc.", "acc."), strict=True))
        medians = (f"{short[target]} {details['medians'][target][AS_IS]:.2f}" for target in TARGETS)
        lines = [f"median SDR {AS_IS}: {', '.join(medians)} dB"]
        for variant, of in details["changes"].items():
            change = "{mean_paired:+.2f} ± {se_paired:.2f} (median {median_paired:+.2f})"
            changes = (change.format(**of[target]) for target in TARGETS)
            lines.append(f"{variant}: {', '.join(map(' '.join, zip(short.values(), changes, strict=True)))}")
        return lines
    return []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="the model file")
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), metavar="DIR", help="folder of the cache (%(default)s)"
    )
    parser.add_argument(
        "--data", type=Path, action="append", metavar="PATH",
        help="tracks with stems for level, rate and bands, as for 'evaluate'; may be given several times "
             "(default: the validation songs of the cache)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="output: all figures")
    parser.add_argument(
        "--only", type=names_of, default=(), metavar="NAME,...",
        help="make these measures only; the others in --json are kept (default: all)",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, help="excerpts played at a time (%(default)s)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where the model runs (%(default)s)")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    robustness(
        options.model, options.cache, options.data, options.json, options.workers, device=options.device,
        only=options.only,
    )  # fmt: skip
