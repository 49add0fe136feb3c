"""`rtsep bench file`: speed and memory of `rtsep file`, by the length of the file.

Each run is a separate process, as users run it, on the repeated demo song. Memory and computing time come
from the system's accounting after its end; the computing time of a run on one second of music, which is
almost only the start, is subtracted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rtsep.bench.child import Account, account_of, refusal, rtsep_command
from rtsep.bench.longsong import long_song
from rtsep.bench.playing import notify
from rtsep.bench.result import Column, Result, Row, machine
from rtsep.compute import add_compute
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import read_package

MINUTES = (1.0, 10.0, 60.0)
SHORTEST_MIN, MAX_MINUTES = 0.1, 24 * 60.0
START_S = 1.0  # of music, to measure the start alone
FLAT, LINEAR = 1.05, 1.15
"""Maximum growth of memory to count as flat, and of computing time per second of music to count as linear,
from the shortest file on. The memory of libraries varies by some percent between runs, and the speed of a
core on a shared machine by somewhat more."""

APART = 2.0
"""Minimum ratio of lengths for a statement about growth."""

COLUMNS = (
    Column("minutes", "minutes", "{:g}"),
    Column("wall_s", "took s", "{:.1f}"),
    Column("start_s", "of it start", "{:.1f}"),
    Column("realtime_factor", "time / music", "{:.4f}"),
    Column("cpu_factor", "cpu / music", "{:.4f}"),
    Column("peak_mib", "peak MiB", "{:.0f}"),
)
LEGEND = (
    "time / music: time for a second of music, without the start (loading of Python and the model); cpu: "
    "computing time; 'rtsep file' separates on one thread on any machine; peak: highest memory"
)


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--minutes",
        type=_minutes,
        default=MINUTES,
        metavar="M,...",
        help="minutes of music, one run for each (1,10,60)",
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|PATH", help="model (%(default)s)")
    add_compute(parser, "processor that runs the model")


def run(arguments: argparse.Namespace) -> Result:
    """Separate one file after the other, the shortest first."""
    package = read_package(find_model(arguments.model))
    options = ["--model", arguments.model, "--compute", arguments.compute]
    with long_song(START_S, "make room") as song:
        separated(song, options)  # compiles if necessary, and loads files into memory
        start, _ = separated(song, options)
    rows = []
    for minutes in arguments.minutes:
        notify(f"{minutes:g} minutes of music ...")
        with long_song(60.0 * minutes, "give fewer --minutes") as song:
            rows.append(row_of(*separated(song, options), start))
    settings = {"model": package.spec.name, "model_sha256": package.sha256, "device": arguments.compute}
    title = f"'rtsep file' with the model '{package.spec.name}', by the length of the file"
    notes = [*in_words(rows), LEGEND]
    return Result(
        bench="file",
        title=title,
        columns=COLUMNS,
        rows=rows,
        settings=settings,
        notes=notes,
        machine=machine(arguments.compute),
    )


def separated(song: Path, options: Sequence[str]) -> tuple[Account, Row]:
    """Run `rtsep file` on `song`; return its account, and its own report.

    Raise the error that it reports.
    """
    words = ["file", str(song), "-o", str(song.parent / "stems"), "--overwrite", "--json", *options]
    account = account_of(rtsep_command(*words))
    if account.code != 0:
        raise refusal(account.code, account.messages, words)
    return account, json.loads(account.out)


def row_of(account: Account, report: Row, start: Account) -> Row:
    """Return the row of one run from its account, its report, and the account of a start."""
    return {
        "minutes": round(report["seconds"] / 60, 3),
        "wall_s": round(account.wall_s, 3),
        "start_s": round(account.wall_s - report["wall_seconds"], 3),
        "cpu_s": round(account.cpu_s, 3),
        "realtime_factor": report["realtime_factor"],
        "cpu_factor": round((account.cpu_s - start.cpu_s) / (report["seconds"] - START_S), 4),
        "peak_mib": round(account.peak_mib, 1),
    }


def in_words(rows: Sequence[Row]) -> Iterator[str]:
    """Yield whether memory is flat and time linear; `rows` are in the order of their lengths."""
    shortest, longest = rows[0], rows[-1]
    if longest["minutes"] < APART * shortest["minutes"]:
        yield "growth not measured: give two lengths, one at least twice the other, such as --minutes 1,10"
        return
    span = f"{shortest['minutes']:g} to {longest['minutes']:g} minutes"
    for key, what, holds, fails, most in (
        ("peak_mib", "memory", "is flat", "grows with the length", FLAT),
        ("cpu_factor", "computing time", "is linear in the length", "grows faster than the length", LINEAR),
    ):
        least = shortest[key]
        if least <= 0:
            yield f"{what} of {shortest['minutes']:g} minutes is too little to compare; give longer --minutes"
            continue
        growth = max(row[key] for row in rows) / least
        a_second = " for a second of music" if key == "cpu_factor" else ""
        yield (
            f"{what} {holds if growth <= most else fails}: {growth - 1:+.1%}{a_second} from {span} "
            f"(at most {most - 1:+.0%} is {holds.split()[1]})"
        )


def _minutes(text: str) -> tuple[float, ...]:
    try:
        minutes = {float(part) for part in text.split(",")}
    except ValueError:
        minutes = set()
    # also refuses NaN
    if not minutes or not all(SHORTEST_MIN <= length <= MAX_MINUTES for length in minutes):
        raise argparse.ArgumentTypeError(
            f"'{text}': numbers from {SHORTEST_MIN:g} to {MAX_MINUTES:g} with commas between, as 1,10,60"
        )
    return tuple(sorted(minutes))
