"""`export`: a checkpoint becomes a model file, if its program passes the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rtsep.errors import InputFileError
from rtsep.model.contract import ModelSpec
from rtsep.model.package import Golden, read_package, write_package
from train import checkpoint as checkpoints
from train.cache import RATE, AudioCache
from train.gate import FILE_TOLERANCE, GateError, TrainingForm, check, count_macs, load_program, run_steps
from train.nets.causal import Causal
from train.nets.causal_program import CausalProgram

GOLDEN_STEPS = 6

LICENCE = (
    "research and non-commercial use only: trained on material under CC BY-NC-SA "
    "and on material for academic purposes"
)


def data_of(cache: AudioCache) -> tuple[str, ...]:
    """One line for each training set: minutes, licence."""
    minutes: dict[tuple[str, str], float] = {}
    for song in cache.select("train"):
        key = (song.source, song.licence)
        minutes[key] = minutes.get(key, 0.0) + song.frames / RATE / 60
    return tuple(
        f"{source}: {sum_:.1f} min, {licence}" for (source, licence), sum_ in sorted(minutes.items())
    )


def causal_spec(net: Causal, program: CausalProgram, name: str, **more: Any) -> ModelSpec:
    """Describe a `causal` net; `more` are further fields of the spec."""
    framing = net.config.framing
    return ModelSpec(
        name=name,
        system="causal",
        n_fft=framing.n_fft,
        synthesis=framing.synthesis,
        hop=framing.hop,
        state_size=program.state_size,
        stereo="mid-side",
        params=sum(p.numel() for p in net.parameters()),
        macs_per_hop=count_macs(program, torch.zeros(2, framing.bins, 2), program.state_size),
        **more,
    )


def write_checked(net: TrainingForm, program: nn.Module, spec: ModelSpec, path: Path) -> dict[str, float]:
    """Pass `program` through the gate and write it; returns the differences that were found.

    Raises `GateError` and leaves `path` as it was if any check fails, the sealed file's replay included.
    """
    checked = check(net, program, spec)
    golden = Golden(checked.columns[:GOLDEN_STEPS].numpy(), checked.masks[:GOLDEN_STEPS].numpy())
    trial = path.with_name(path.name + ".checking")
    try:
        write_package(trial, checked.program, spec, golden)
        package = read_package(trial)
        columns = torch.from_numpy(np.ascontiguousarray(package.golden.columns))
        with torch.inference_mode():
            replayed = run_steps(load_program(trial.read_bytes()), columns, package.spec.state_size)
        if not float((replayed - torch.from_numpy(package.golden.masks)).abs().max()) <= FILE_TOLERANCE:
            raise GateError("the written file does not replay its golden frames")
        trial.replace(path)
    finally:
        trial.unlink(missing_ok=True)
    return dict(checked.differences)


def export(run: Path, out: Path, name: str, metrics: Path | None, cache: Path | None) -> None:
    """Write the averaged weights of a run as a model file."""
    state = checkpoints.load(run)
    net = state.average_net()
    program = CausalProgram(net).eval()
    scores: dict[str, Any] = {}
    if metrics is not None:
        try:
            stored = json.loads(metrics.read_text())
            scores = {"command": stored["command"], **stored["summary"]}
        except (OSError, ValueError, KeyError) as error:
            raise InputFileError(f"{metrics}: no figures of 'python -m train evaluate' ({error})") from None
    spec = causal_spec(
        net,
        program,
        name,
        metrics=scores,
        data=data_of(AudioCache(cache)) if cache is not None else (),
        licence=LICENCE,
        description=(
            f"Causal band-split net, {state.elapsed_s / 60:.0f} minutes of training, "
            f"{state.audio_s / 3600:.1f} h of mixtures heard"
        ),
    )
    differences = write_checked(net, program, spec, out)
    for what, size in differences.items():
        print(f"{what:32} {size:.1e}")
    print(f"{out}: {spec.params:,} parameters, {spec.macs_per_hop / 1e6:.2f} MMAC a hop, "
          f"{spec.state_size:,} floats of state, latency {spec.latency} samples")  # fmt: skip
