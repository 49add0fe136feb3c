"""`rtsep bench start`: time from the start of `rtsep live` to its first sound, stage by stage.

Each run is a separate process, started as users start it, which reports the times of its stages; the clock
starts before the process. Warm runs follow a first run that does not count. Cold runs have an empty folder
for compiled code and, with --drop-caches, no files in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rtsep.bench.child import refusal, rtsep_command
from rtsep.bench.result import Column, Result, Row, machine
from rtsep.compute import add_compute
from rtsep.errors import UsageError
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import read_package
from rtsep.realtime import threads

AIM_S = 2.0
"""Target for a warm start, in seconds."""

PLAYED_S = 0.5  # of the demo song, which has sound from its first sample
PATIENCE_S = 300.0  # a first compilation on a slow machine

STAGES = {
    "imports": "Python and rtsep's modules are loaded",
    "model file": "model file is read and verified",
    "devices": "devices and input are found",
    "told": "the user is informed of the start",
    "compiled": "compiled code is loaded",
    "model imports": "model process has loaded torch",
    "model loaded": "model is loaded, its golden frames replayed",
    "model": "model process is ready",
    "streams": "streams are open",
    "hop": "first hop",
    "sound": "first sound",
}
"""Stages by their names in `rtsep live`; `told` is measured from outside. Some run in parallel."""

COLUMNS = (
    Column("caches", "caches", setting=True),
    Column("stage", "reached"),
    Column("median_ms", "median ms", "{:.0f}"),
    Column("worst_ms", "worst ms", "{:.0f}"),
    Column("runs", "runs", setting=True),
)

_DROP_CACHES = Path("/proc/sys/vm/drop_caches")


class Start(NamedTuple):
    """One start: times of its stages in ms since the start of the process, and its messages."""

    reached: dict[str, float]
    messages: list[str]


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="NAME", help="a model or a file (%(default)s)"
    )
    add_compute(parser, "processor that runs the model")
    parser.add_argument(
        "--out-device",
        metavar="DEVICE|virtual",
        help=f"device that plays {PLAYED_S:g} s of the demo song in each run",
    )
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="warm starts (%(default)s)")
    parser.add_argument(
        "--cold-runs", type=int, default=1, metavar="N", help="starts that compile everything (%(default)s)"
    )
    parser.add_argument(
        "--drop-caches",
        action="store_true",
        help="cold starts: make the system drop all files from memory, also those of other programs (root)",
    )


def run(arguments: argparse.Namespace) -> Result:
    """Start repeatedly."""
    if arguments.runs < 0 or arguments.cold_runs < 0 or arguments.runs + arguments.cold_runs == 0:
        raise UsageError(
            f"--runs {arguments.runs} --cold-runs {arguments.cold_runs}: at least 1 run together"
        )
    package = read_package(find_model(arguments.model))  # report its errors first
    options = ["--model", arguments.model, "--compute", arguments.compute]
    if arguments.out_device is not None:
        options += ["--out-device", arguments.out_device]
    notes: list[str] = []
    drops = arguments.drop_caches and _drops_caches(notes)
    rows: list[Row] = []
    messages: list[str] = []
    for caches, runs in (("warm", arguments.runs), ("cold", arguments.cold_runs)):
        if runs == 0:
            continue
        starts = _starts(options, runs, caches == "cold", drops)
        state = "empty, no file in memory" if caches == "cold" and drops else caches
        rows += table(state, [start.reached for start in starts])
        messages = starts[-1].messages
    notes += [line for line in messages if "no audio device" in line]
    settings = {
        "model": package.spec.name, "model_sha256": package.sha256, "device": arguments.compute,
        "out_device": arguments.out_device, "drop_caches": drops,
    }  # fmt: skip
    title = "'rtsep live --in demo', time since its process was started"
    notes = [*in_words(rows), *notes]
    return Result(
        bench="start",
        title=title,
        columns=COLUMNS,
        rows=rows,
        settings=settings,
        notes=notes,
        machine=machine(arguments.compute),
    )


def _starts(options: list[str], runs: int, cold: bool, drops: bool) -> list[Start]:
    found = []
    if not cold:
        start_once(options)  # fills the caches
    for _ in range(runs):
        if not cold:
            found.append(start_once(options))
            continue
        with tempfile.TemporaryDirectory(prefix="rtsep-bench-") as empty:
            if drops:
                _drop_caches()
            found.append(start_once(options, {"NUMBA_CACHE_DIR": empty}))
    return found


def start_once(options: list[str], environment: dict[str, str] | None = None) -> Start:
    """Start `rtsep live --in demo` with `options`, wait for its end, and return its times.

    Raise the error that the process reports.
    """
    words = ["live", "--in", "demo", "--headless", "--json", "--seconds", str(PLAYED_S), *options]
    # The last state belongs to the user: `--resume` must not continue from a benchmark. The user's defaults
    # do not apply here either.
    with tempfile.TemporaryDirectory(prefix="rtsep-bench-") as state:
        surroundings = os.environ | {"XDG_STATE_HOME": state, "RTSEP_CONFIG": ""} | (environment or {})
        began = time.monotonic()
        process = subprocess.Popen(
            rtsep_command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=surroundings,
        )  # fmt: skip
        assert process.stdout and process.stderr
        timer = threading.Timer(PATIENCE_S, process.kill)
        timed_messages: list[tuple[float, str]] = []
        listener = threading.Thread(
            target=lambda: timed_messages.extend(
                (time.monotonic(), line.rstrip()) for line in process.stderr or ()
            )
        )
        try:
            threads.start(timer)
            threads.start(listener)
            lines = process.stdout.read().splitlines()
            process.wait()
        finally:
            timer.cancel()
            if process.poll() is None:
                process.terminate()  # it ends its model process
                process.wait()
            if listener.ident:
                listener.join()
            process.stdout.close()
            process.stderr.close()
    messages = [line for _, line in timed_messages]
    if process.returncode != 0:
        raise refusal(process.returncode, messages, words)
    moments: dict[str, float] = json.loads(lines[-1])["start"]
    notified = next((moment for moment, line in timed_messages if "preparing" in line), None)
    if notified is not None:
        moments["told"] = notified
    return Start({name: 1000 * (moment - began) for name, moment in moments.items()}, messages)


def table(caches: str, starts: list[dict[str, float]]) -> list[Row]:
    """Return a row for each stage, in order of time; `starts` are in ms, one per run."""
    rows: list[Row] = []
    for name, title in STAGES.items():
        reached = [start[name] for start in starts if name in start]
        if reached:
            rows.append(
                {
                    "caches": caches, "name": name, "stage": title, "runs": len(reached),
                    "median_ms": round(float(np.median(reached)), 1), "worst_ms": round(max(reached), 1),
                    "all_ms": [round(value, 1) for value in reached],
                }
            )  # fmt: skip
    return sorted(rows, key=lambda row: float(row["median_ms"]))


def in_words(rows: list[Row]) -> Iterator[str]:
    """Yield the conclusions: time to the first sound, the stage that came last, and missing stages."""
    for caches in dict.fromkeys(row["caches"] for row in rows):
        of_caches = {row["name"]: row for row in rows if row["caches"] == caches}
        if "sound" in of_caches:
            yield _to_the_sound(caches, of_caches)
        if missing := [title for name, title in STAGES.items() if name not in of_caches]:
            yield f"{caches} start: not reached in any run: {', '.join(missing)}"


def _to_the_sound(caches: str, row_of: dict[str, Row]) -> str:
    sound = row_of["sound"]
    line = f"{caches} start to the first sound: {_s(sound['median_ms'])}, at worst {_s(sound['worst_ms'])}"
    if caches == "warm":
        held = sound["worst_ms"] <= 1000 * AIM_S
        line += f" (the goal of {AIM_S:g} s is {'met' if held else 'missed'})"
    if "told" in row_of:
        line += f"; the user is informed after {_s(row_of['told']['median_ms'])}"
    sides = {"model": "the model process", "compiled": "compiled code"}
    if sides.keys() <= row_of.keys():
        last, other = sorted(sides, key=lambda name: -float(row_of[name]["median_ms"]))
        waited = row_of[last]["median_ms"] - row_of[other]["median_ms"]
        line += f"; {sides[last]} came last, {_s(waited)} after {sides[other]}"
    return line


def _s(ms: float) -> str:
    return f"{ms / 1000:.2f} s"


def _drops_caches(notes: list[str]) -> bool:
    """Return whether the system can drop its file cache; reasons against it go to `notes`."""
    if not sys.platform.startswith("linux"):
        notes.append("--drop-caches: only Linux can; the cold runs found files in memory")
    elif not os.access(_DROP_CACHES, os.W_OK):
        notes.append("--drop-caches: only root may; the cold runs found files in memory")
    else:
        return True
    return False


def _drop_caches() -> None:
    os.sync()  # unwritten data is not dropped
    _DROP_CACHES.write_text("3\n")
