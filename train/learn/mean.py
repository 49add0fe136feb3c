"""`mean`: average the weights of several runs; the result is a run, too.

Runs that started from the same weights can be averaged weight by weight, and the mean plays at the cost of
one of them. It often scores as well as each of them on data like theirs, and better on other data (M.
Wortsman et al., "Model soups", ICML 2022). Check this for your runs with `evaluate` and `robustness`.

A share below 0 takes a run away. `A B C --shares 1 -1 1` adds to C what A has learnt since it was B
(G. Ilharco et al., "Editing models with task arithmetic", ICLR 2023). So a twin for another window learns
without training. The window is that of the last run.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor

from rtsep.errors import ModelError, OutputError, UsageError
from train.data.cache import whole_file
from train.data.licences import all_sets
from train.learn import checkpoint as checkpoints
from train.learn.checkpoint import SPENT, Checkpoint


def mean_of(weights: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """Return sum(share * weight) for each name; `shares` sum to 1. Integers come from the first."""
    return {
        name: sum((share * each[name] for share, each in zip(shares, weights, strict=True)), 0 * first)
        if torch.is_floating_point(first)
        else first.clone()
        for name, first in weights[0].items()
    }


def mean(runs: Sequence[Path], shares: Sequence[float], folder: Path) -> Checkpoint:
    """Write the mean of `runs` to `folder` and return it.

    `runs` are runs, checkpoints or model files; `shares` (one each, not 0) are their weights, and their sum
    is greater than 0. The mean has the system of the last run and the data of all of them. Raises
    `ModelError` for different nets, `UsageError` for wrong shares, and `OutputError` if `folder` holds a run
    already.
    """
    if len(shares) != len(runs) or not all(share and math.isfinite(share) for share in shares):
        raise UsageError(f"--shares: {len(runs)} numbers other than 0 are needed, one for each run")
    if sum(shares) <= 0:
        raise UsageError(f"--shares: their sum is {sum(shares):g}; it must be greater than 0")
    if (folder / checkpoints.FILE).exists():
        raise OutputError(f"{folder} contains a run already; give another folder")
    states = [checkpoints.load(run) for run in runs]
    kind = _shapes(states[0])
    for run, state in zip(runs, states, strict=True):
        if _shapes(state) != kind:
            raise ModelError(f"{run}: not the same net as {runs[0]}; only nets of one kind have a mean")
    total = sum(shares)
    average = mean_of([state.average for state in states], [share / total for share in shares])
    largest = {name: max(state.spent[name] for state in states) for name in SPENT}
    result = Checkpoint(
        states[-1].system, average, average,
        step=max(state.step for state in states),
        earlier=largest,  # runs from one start share its cost: a sum would count it twice
        data=reduce(all_sets, (state.data for state in states)),
        machine=", ".join(dict.fromkeys(part for state in states for part in state.machine.split(", "))),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.save(result, folder)
    return result


def _shapes(state: Checkpoint) -> tuple[str, dict[str, torch.Size]]:
    return state.system.family, {name: value.shape for name, value in state.average.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train mean`."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="runs, checkpoints or model files")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="output folder: the new run")
    parser.add_argument(
        "--shares",
        type=float,
        nargs="+",
        metavar="X",
        help="weight of each run in the mean; below 0, it is taken away (default: equal)",
    )


def run(options: argparse.Namespace) -> None:
    """Run `python -m train mean`."""
    result = mean(options.runs, options.shares or [1.0] * len(options.runs), options.run)
    content = {
        "command": "python -m train " + shlex.join(sys.argv[1:]),
        "config": {"init": str(options.runs[-1])},  # a chain of records continues from the last one
        "parameters": sum(weight.numel() for weight in result.system.net().parameters()),
        "machine": result.machine,
        "data": result.data,
    }
    with whole_file(options.run / "run.json") as file:
        file.write(json.dumps(content, indent=1).encode())
    print(f"{options.run}: the mean of {len(options.runs)} runs, {len(result.data)} sets of data")
