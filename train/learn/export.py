"""`export`: turn a checkpoint into a model file, if its streaming program passes all checks."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from rtsep.errors import InputFileError
from rtsep.model.contract import ModelSpec
from rtsep.model.package import Golden, read_package, write_package
from rtsep.model.remote import load
from train.commandline import without_paths
from train.data.cache import unwritable
from train.data.licences import all_sets, licence_of
from train.learn import checkpoint as checkpoints
from train.learn.gate import FILE_TOLERANCE, GateError, TrainingForm, check


def write_checked(
    net: TrainingForm,
    program: nn.Module,
    spec: ModelSpec,
    path: Path,
    golden_steps: int = 6,
    also: Mapping[str, bytes] | None = None,
) -> dict[str, float]:
    """Check `program` and write it; return the differences between its forms.

    `also` are further entries of the file. Raises `GateError` and keeps `path` unchanged if any check fails,
    the replay of the finished file included; `OutputError` if the disk is full or the folder not writable.
    """
    checked = check(net, program, spec)
    golden = Golden(checked.columns[:golden_steps].numpy(), checked.masks[:golden_steps].numpy())
    trial = path.with_name(path.name + ".checking")
    try:
        with _writing(path):
            write_package(trial, checked.program, spec, golden, also)
        package = read_package(trial)
        if not load(package).golden_error <= FILE_TOLERANCE:  # NaN too
            raise GateError("the written file does not replay its golden frames")
        with _writing(path):
            trial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            trial.unlink(missing_ok=True)
    return dict(checked.differences)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from None


def export(
    run: Path,
    out: Path,
    name: str | None = None,
    metrics: Path | None = None,
    mask: tuple[float, float] = (1.0, 0.0),
) -> dict[str, float]:
    """Write the averaged weights of a run as the model file `out`; return the differences of its forms.

    `metrics` is the JSON of `evaluate` of the same weights; `mask` is slope and offset of the mask logits,
    found by `calibrate`. Raises `GateError` and writes nothing if a check fails, and `UsageError` for a
    `mask` of a system without such logits.
    """
    state = checkpoints.load(run)
    net = state.average_net()
    if mask != (1.0, 0.0):
        state.system.calibrate(net, *mask)
    program = state.system.program(net).eval()
    scores: dict[str, Any] = {}
    if metrics is not None:
        try:
            stored = json.loads(metrics.read_text(), parse_constant=lambda _: None)
            scores = {"command": without_paths(stored["command"]), **stored["summary"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputFileError(f"{metrics}: not the JSON of 'python -m train evaluate' ({error})") from None
    spent = state.spent
    scores["training"] = {
        "minutes": round(spent["elapsed_s"] / 60, 1),
        "cpu_minutes": round(spent["cpu_s"] / 60, 1),
        "audio_hours": round(spent["audio_s"] / 3600, 2),
        "steps": state.step,  # of the last run
        "machine": state.machine,
        "mask": {"slope": mask[0], "offset": mask[1]},
    }
    data = all_sets(state.data, ())  # of a run of an earlier version, they may have control characters
    spec = state.system.spec(
        net,
        program,
        name or state.system.family,
        metrics=scores,
        data=data,
        licence=licence_of(data),
        description=(
            f"System '{state.system.family}', {spent['elapsed_s'] / 60:.0f} minutes of training on "
            f"{state.machine}, {spent['audio_s'] / 3600:.1f} h of mixtures"
        ),
    )
    carried = {checkpoints.OUTCOME: checkpoints.outcome(state)}
    differences = write_checked(net, program, spec, out, state.system.golden_steps, carried)
    for what, size in differences.items():
        print(f"{what:32} {size:.1e}")
    print(f"{out}: {spec.params:,} parameters, {spec.macs_per_hop / 1e6:.2f} MMAC a hop, "
          f"{spec.state_size:,} floats of state, latency {spec.algorithmic_latency} samples")  # fmt: skip
    return differences


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train export`."""
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="a run, or a checkpoint file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="output: the model file")
    parser.add_argument("--name", help="name of the model (default: name of its system)")
    parser.add_argument(
        "--metrics", type=Path, metavar="FILE", help="JSON by 'evaluate' whose figures go into the model file"
    )
    for name, plain in (("slope", 1.0), ("offset", 0.0)):
        parser.add_argument(f"--mask-{name}", type=float, default=plain, metavar="X",
                            help=f"{name} of the mask logits, from 'calibrate' (%(default)s)")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Run `python -m train export`."""
    mask = options.mask_slope, options.mask_offset
    export(options.run, options.out, options.name, options.metrics, mask)
