"""`gains`: the gain of each optimisation of a hop, measured with and without it on this machine.

Both sides are separate processes that run in turns (A B, B A, ...), paced like live audio, on one core at
real-time priority unless stated otherwise. All hops count. The ratio of the medians is shown with the
smallest and the largest ratio of two neighbouring turns.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.ab_worker import ABWorker
from benchmarks.output import command_line, write_result
from rtsep.bench import start
from rtsep.bench.result import Column, Result, Row
from rtsep.bench.torture import Torture
from rtsep.errors import UsageError, suggest
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.launch import HUGE_PAGES
from rtsep.model.package import read_package
from rtsep.realtime.child_process import command_of
from train.score.evaluate import names_of

SECONDS, TURNS, STARTS = 5.0, 8, 5

COLUMNS = (
    Column("gain", "what"),
    Column("unit", ""),
    Column("before_median", "before: median", "{:,.0f}"),
    Column("before_p99", "p99", "{:,.0f}"),
    Column("before_max", "max", "{:,.0f}"),
    Column("after_median", "after: median", "{:,.0f}"),
    Column("after_p99", "p99", "{:,.0f}"),
    Column("after_max", "max", "{:,.0f}"),
    Column("ratio", "median after / before", "{:.2f}"),
    Column("pairs", "of turns"),
    Column("ratio_p99", "p99 after / before", "{:.2f}"),
)


@dataclass(frozen=True)
class Gain:
    """Two versions of the same hop."""

    title: str
    before: tuple[str, dict[str, Any]]  # arguments of `ABWorker`
    after: tuple[str, dict[str, Any]]
    load: tuple[str, ...] = ()  # loads of `Torture` meanwhile
    about: str = ""


MODEL = "model"
GAINS = {
    "products": Gain(
        "one-column convolutions as matrix products",
        ("causal, convolutions", {}), ("causal, products", {}),
        about="the net of 'causal', random weights: its Conv1d and Linear layers against products over rows",
    ),
    "in-place": Gain(
        "each operation writes where the next one reads",
        ("causal, products", {}), ("causal, in place", {}),
        about="the same net: each operation with a result of its own, padding included, each addmm split "
        "into product and sum by TorchScript, against the shipped program: memory laid out once",
    ),
    "columns": Gain(
        "earlier columns kept instead of computed again",
        ("column-resnet, window", {}), ("column-resnet, columns", {}),
        about="the small net of 'column-resnet' (25 columns, causal, random weights): the whole window "
        "for every column, against one new column a layer and a flat state",
    ),
    "fft": Gain(
        "STFT and inverse compiled, in place",
        ("stft, scipy", {}), ("stft, compiled", {}),
        about="stereo, 2048 points: numpy and scipy.fft in float32 against rtsep.dsp",
    ),
    "pages": Gain(
        "weights in huge pages", (MODEL, {}), (MODEL, {"tunables": HUGE_PAGES}),
        about=f"the default model: GLIBC_TUNABLES={HUGE_PAGES}",
    ),
    "priority": Gain(
        "real-time priority, memory locked", (MODEL, {"real_time": False}), (MODEL, {}),
        about="the default model, on a machine that does nothing else",
    ),
    "priority-busy": Gain(
        "the same on a busy machine", (MODEL, {"real_time": False}), (MODEL, {}), load=("cpu",),
        about="the default model, while as many processes as there are cores sort numbers",
    ),
    "pinned": Gain(
        "on one core alone", (MODEL, {}), (MODEL, {"core": 0}),
        about="the default model, free to move against bound to the first core (Linux; not done by rtsep: a "
        "bound thread waits for other programs on its core)",
    ),
}  # fmt: skip
START = "start"
NAMES = (*GAINS, START)


@dataclass
class Pairs:
    """Times of both sides, turn by turn."""

    before: list[NDArray[np.float64]] = field(default_factory=list)
    after: list[NDArray[np.float64]] = field(default_factory=list)

    def row(self) -> Row:
        """Return the figures of both sides, and their ratios."""
        figures: Row = {}
        for name, turns in (("before", self.before), ("after", self.after)):
            hops = np.concatenate(turns)
            median, p99, p999 = np.percentile(hops, [50, 99, 99.9])
            figures |= {
                f"{name}_median": round(float(median), 1), f"{name}_p99": round(float(p99), 1),
                f"{name}_p99.9": round(float(p999), 1), f"{name}_max": round(float(hops.max()), 1),
                f"{name}_hops": len(hops),
            }  # fmt: skip
        each = [float(np.median(b) / np.median(a)) for a, b in zip(self.before, self.after, strict=True)]
        return figures | {
            "ratio": round(figures["after_median"] / figures["before_median"], 3),
            "ratio_p99": round(figures["after_p99"] / figures["before_p99"], 3),
            "pairs": f"{min(each):.2f} - {max(each):.2f}", "turns": len(each),
        }  # fmt: skip


def in_turns(
    before: Callable[[], NDArray[np.float64]], after: Callable[[], NDArray[np.float64]], turns: int
) -> Pairs:
    """Call both `turns` times: before, after; after, before; and so on, so that drift favours none."""
    pairs = Pairs()
    for n in range(turns):
        sides = [(before, pairs.before), (after, pairs.after)]
        for side, kept in sides if n % 2 == 0 else sides[::-1]:
            kept.append(side())
    return pairs


def of_hops(gain: Gain, turns: int, seconds: float) -> Row:
    """Measure both sides of `gain`."""
    sides = [ABWorker(kind, **options) for kind, options in (gain.before, gain.after)]
    with sides[0] as before, sides[1] as after, Torture(gain.load) as torture:
        pairs = in_turns(lambda: before.turn(seconds), lambda: after.turn(seconds), turns)
        torture.check()
        return {"unit": "us", "hop_us": before.hop_us} | pairs.row()


def of_starts(runs: int) -> Row:
    """Return the time to the first sound in ms, without and with a process that loads torch early."""

    def started(module: str) -> NDArray[np.float64]:
        with patch.object(start, "rtsep_command", lambda *words: [*command_of(module), *words]):
            return np.array([start.start_once([]).reached["sound"]])

    for module in ("benchmarks.unprepared", "rtsep.cli.main"):
        started(module)  # fills the caches
    pairs = in_turns(lambda: started("benchmarks.unprepared"), lambda: started("rtsep.cli.main"), runs)
    row = pairs.row()
    for name in ("before_p99", "after_p99", "before_p99.9", "after_p99.9", "ratio_p99"):
        del row[name]  # too few runs for these
    return {"unit": "ms"} | row


def gains(
    names: Sequence[str] = NAMES, turns: int = TURNS, seconds: float = SECONDS, starts: int = STARTS
) -> Result:
    """Measure the gains NAMES, with `turns` of `seconds` for each side."""
    for name in names:
        if name not in NAMES:
            raise UsageError(f"--only '{name}': one of {', '.join(NAMES)}{suggest(name, NAMES)}")
    if turns < 1 or starts < 1 or not seconds > 0:
        raise UsageError(f"--turns {turns} --seconds {seconds:g} --starts {starts}: must be more than 0")
    rows: list[Row] = []
    notes = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        if name == START:
            title, about = (
                "torch loads in parallel with everything else",
                "'rtsep live --in demo' to its first sound, warm",
            )
            row = of_starts(starts)
        else:
            title, about = GAINS[name].title, GAINS[name].about
            row = of_hops(GAINS[name], turns, seconds)
        rows.append({"name": name, "gain": title} | row)
        notes.append(f"{title}: {about}")
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    settings: Row = {"turns": turns, "seconds": seconds, "starts": starts}
    if any(name == START or MODEL in (GAINS[name].before[0], GAINS[name].after[0]) for name in names):
        package = read_package(find_model(DEFAULT_MODEL))
        settings |= {"model": package.spec.name, "model_sha256": package.sha256}
    with contextlib.suppress(OSError):
        settings["transparent_hugepage"] = pages.read_text().strip()
    title = f"before and after, paced, {turns} turns of {seconds:g} s a side, one core"
    return Result("gains", title, COLUMNS, rows, settings, notes, command_line())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--only", type=names_of, default=NAMES, metavar="NAME,...",
                        help=f"{', '.join(NAMES)} (all)")  # fmt: skip
    parser.add_argument("--turns", type=int, default=TURNS, metavar="N", help="turns a side (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="S", help="length of a turn (%(default)s)"
    )
    parser.add_argument("--starts", type=int, default=STARTS, metavar="N", help="starts a side (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    if not options.only:
        raise UsageError(f"--only: one of {', '.join(NAMES)}")
    write_result(gains(options.only, options.turns, options.seconds, options.starts), options.json)
