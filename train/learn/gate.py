"""The export gate: the checks of a program before it becomes a model file. Each one raises `GateError`.

A net exists in several forms (training form, one step, whole file, scripted, reloaded from disk). Each is a
chance of an error, so all of them process the same columns and must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from rtsep.errors import ModelError
from rtsep.model import torchscript
from rtsep.model.contract import ModelSpec
from rtsep.model.loader import form_of
from rtsep.model.package import Golden, ModelPackage
from rtsep.model.runner import ModelRunner
from rtsep.model.torchscript import from_bytes, to_bytes
from rtsep.offline.separator import Separator
from train.learn.stft import mid_side, played_columns, windows
from train.learn.system import Program, count_macs

FORM_TOLERANCE = 1e-4
"""Tolerance between training form and streaming form, which sum in another order in float32."""

FILE_TOLERANCE = 1e-5
"""Tolerance between a program and its saved form, with the same operations."""

METHODS = ["step", "offline"]


class GateError(ModelError):
    """A program failed a check of the export gate; nothing was written."""


class TrainingForm(Protocol):
    """The training form of a net, as the reference of the checks."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return all weights."""

    def masks(self, columns: Tensor) -> Tensor:
        """Masks [T, channels, bins] of columns [T, channels, bins, 2], from a zero state."""


@dataclass(frozen=True)
class Checked:
    """A program that passed all checks, as bytes, with the largest differences."""

    program: bytes
    columns: Tensor  # what it was checked on
    masks: Tensor  # of the reloaded program, one step at a time
    differences: dict[str, float]


def check_columns(spec: ModelSpec, seconds: float = 0.5, seed: int = 7) -> Tensor:
    """Return columns [T, channels, bins, 2] of a music-like signal: a gliding tone, noise, a rest, a shout.

    They last `seconds`, or longer for a model with a long memory or look-ahead, so that all of it is used.
    """
    rate, rng = spec.rates[0], np.random.default_rng(seed)
    hops = max(seconds * rate / spec.hop, 2.2 * spec.lookahead_hops, 1.3 * (spec.context_hops or 0) + 8)
    time = np.arange(int(hops * spec.hop)) / rate
    pitch = 220 * 2 ** (0.5 * np.sin(2 * np.pi * 2 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 20)) * 0.1
    bursts = rng.standard_normal((2, time.size)) * np.exp(-((time * 8) % 1) * 6) * 0.1
    wave = np.stack([voice, 0.8 * voice]) + bursts
    third = time.size // 3
    wave[:, third : third + third // 2] = 0
    wave[:, -third // 2 :] *= 30  # far beyond full scale
    analysis, _ = windows(spec.framing)
    signal = torch.from_numpy(wave.astype(np.float32))
    signal = mid_side(signal) if spec.stereo == "mid-side" else signal
    columns = played_columns(signal[: spec.channels], spec.framing, analysis)
    return torch.view_as_real(columns.transpose(0, 1).contiguous())


def run_steps(program: Program, columns: Tensor, state_size: int) -> Tensor:
    """Return the masks of `columns`, computed step by step from a zero state."""
    state = torch.zeros(state_size)
    return torch.stack([program.step(column, state).clone() for column in columns])


class _Open(ModelRunner):
    """A model runner whose masks are 1."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.column = np.zeros((spec.channels, spec.bins, 2), np.float32)
        self.mask = np.ones((spec.channels, spec.bins), np.float32)

    def step(self) -> None: ...

    def reset(self) -> None: ...


def measured_latency(spec: ModelSpec) -> int:
    """Return the latency in samples of the runtime with this spec, measured with noise."""
    separator = Separator(_Open(spec), spec.rates[0], spec.channels)
    frames = 8 * spec.n_fft
    noise = np.random.default_rng(1).standard_normal((spec.channels, frames)).astype(np.float32) * 0.1
    sent = np.pad(noise, ((0, 0), (0, 4 * spec.n_fft + spec.lookahead_hops * spec.hop)))
    played = separator.process(sent)[0]
    size = 2 * sent.shape[1]
    product = np.fft.rfft(played[0], size) * np.fft.rfft(noise[0], size).conj()
    lag = int(np.fft.irfft(product, size).argmax())
    if not np.allclose(played[:, lag : lag + frames], noise, atol=1e-4):
        raise GateError("the framing of the spec does not reconstruct the signal")
    return lag


def script(program: nn.Module) -> bytes:
    """Return the bytes of `program`, scripted, frozen and saved."""
    try:
        return to_bytes(torchscript.script(program, METHODS))
    except Exception as error:  # TorchScript raises many types
        raise GateError(f"the program cannot be scripted: {error}") from None


def load_program(content: bytes) -> Program:
    """Load a program from the bytes of its file, to call it with columns and states."""
    return cast(Program, from_bytes(content))


def load_runner(content: bytes, spec: ModelSpec) -> ModelRunner:
    """Load a program from the bytes of its file as the runtime does; it has no golden frames yet."""
    shape = (0, spec.channels, spec.bins)
    none = Golden(np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32))
    return form_of(spec).load(ModelPackage(Path(spec.name), spec, none, "", content))


def play_steps(runner: ModelRunner, columns: Tensor) -> Tensor:
    """Return the masks of `columns`, computed step by step by the runtime from a zero state."""
    runner.reset()
    masks = []
    for column in columns.numpy():
        runner.column[:] = column
        runner.step()
        masks.append(runner.mask.copy())
    return torch.from_numpy(np.stack(masks))


def _difference(what: str, a: Tensor, b: Tensor, tolerance: float) -> float:
    if a.shape != b.shape:
        raise GateError(f"{what}: shapes {list(a.shape)} and {list(b.shape)} differ")
    worst = float((a - b).abs().max()) if a.numel() else 0.0
    if not worst <= tolerance:  # NaN too
        raise GateError(f"{what}: masks differ by {worst:.2g}, allowed {tolerance:g}")
    return worst


def _check_range(what: str, masks: Tensor) -> None:
    if not bool(torch.isfinite(masks).all()) or float(masks.min()) < 0 or float(masks.max()) > 1:
        raise GateError(f"{what}: masks are outside 0..1 or not finite")


def _masks_with_noise(masks_of: Any, columns: Tensor, part: slice, rng: torch.Generator) -> Tensor:
    """Return the masks of `columns` with noise in a part of them."""
    noisy = columns.clone()
    noisy[part] = torch.randn(noisy[part].shape, generator=rng)
    return cast(Tensor, masks_of(noisy))


def _check_causality(what: str, masks_of: Any, columns: Tensor) -> float:
    """Check that new input does not change earlier output, up to float32 rounding."""
    steps, worst = columns.shape[0], 0.0
    rng = torch.Generator().manual_seed(2)
    whole = masks_of(columns)
    for cut in sorted({1, steps // 3, steps // 2, steps - 1}):
        name = f"causality ({what}, future changed from step {cut})"
        noisy = _masks_with_noise(masks_of, columns, slice(cut, None), rng)
        worst = max(worst, _difference(name, whole[:cut], noisy[:cut], FILE_TOLERANCE))
    return worst


def _check_context(what: str, masks_of: Any, columns: Tensor, context_hops: int) -> float:
    """Check that input older than `context_hops` does not change a mask, up to float32 rounding."""
    steps, worst = columns.shape[0] - context_hops, 0.0
    rng = torch.Generator().manual_seed(3)
    whole = masks_of(columns)
    for cut in sorted({1, steps // 2, steps - 1}):
        name = f"context of {context_hops} hops ({what}, past changed before step {cut})"
        noisy = _masks_with_noise(masks_of, columns, slice(cut), rng)
        first = cut + context_hops  # the newest changed column, cut - 1, is too old for this mask
        worst = max(worst, _difference(name, whole[first:], noisy[first:], FILE_TOLERANCE))
    return worst


@torch.no_grad()
def check(net: TrainingForm, program: nn.Module, spec: ModelSpec) -> Checked:
    """Run every check on `program` against the training form `net`; the first failure raises `GateError`."""
    columns = check_columns(spec)
    size, eager = spec.state_size, program
    wanted = net.masks(columns)
    if wanted.shape != columns.shape[:-1]:
        raise GateError(f"masks have shape {list(wanted.shape)}, expected {list(columns.shape[:-1])}")
    found: dict[str, float] = {}

    own_size = getattr(program, "state_size", size)
    if own_size != size:
        raise GateError(f"the program keeps {own_size} floats of state, the spec declares {size}")
    if spec.params != (params := sum(p.numel() for p in net.parameters())):
        raise GateError(f"the spec declares {spec.params} parameters, the net has {params}")
    macs = count_macs(eager, columns[0], size, spec.lookahead_hops + 1)
    if macs != spec.macs_per_hop:
        raise GateError(f"the spec declares {spec.macs_per_hop} multiplications a hop, torch counts {macs}")
    latency = measured_latency(spec)
    if latency != spec.algorithmic_latency:
        raise GateError(
            f"the spec declares {spec.algorithmic_latency} samples of latency, measured {latency}"
        )

    content = script(program)
    loaded, runner = load_program(content), load_runner(content, spec)
    stepped = play_steps(runner, columns)
    found["training form / offline"] = _difference(
        "training form / offline", wanted, eager.offline(columns), FORM_TOLERANCE
    )  # fmt: skip
    plain = run_steps(eager, columns, size)
    found["training form / stepped"] = _difference("training form / stepped", wanted, plain, FORM_TOLERANCE)
    found["stepped / reloaded"] = _difference("stepped / reloaded", plain, stepped, FILE_TOLERANCE)
    found["reloaded: stepped / offline"] = _difference(
        "reloaded: stepped / offline", stepped, loaded.offline(columns), FORM_TOLERANCE
    )
    # All memory must be in the state: a second stream in between must not change the first.
    state, other = torch.zeros(size), torch.zeros(size)
    mixed = []
    for column in columns:
        mixed.append(loaded.step(column, state).clone())
        loaded.step(torch.randn_like(column), other)
    what = "two streams (memory outside the state)"
    found["two streams"] = _difference(what, stepped, torch.stack(mixed), 0.0)

    found["causality, training form"] = _check_causality("training form", net.masks, columns)
    found["causality, offline"] = _check_causality("offline", loaded.offline, columns)
    found["causality, stepped"] = _check_causality("stepped", partial(play_steps, runner), columns)
    if spec.context_hops is not None:
        past = spec.context_hops
        found["context, training form"] = _check_context("training form", net.masks, columns, past)
        found["context, stepped"] = _check_context("stepped", partial(play_steps, runner), columns, past)
    for what, level in (("silence", 0.0), ("1e-6 of full scale", 1e-6), ("10,000 times full scale", 1e4)):
        _check_range(what, play_steps(runner, columns * level))
    _check_range("test signal", stepped)
    return Checked(content, columns, stepped, found)
