"""Small model files for tests: real TorchScript programs, real packages, masks that can be foretold.

    path = make_model(tmp_path / "half.rtsep", "half")               # as `rtsep --model PATH` takes it
    path = make_model(tmp_path / "m.rtsep", "marker", profile="stage", lookahead=2, channels=1)

What a kind answers to column n (counted from 0 since the last reset) is `expected_mask`, in plain numpy;
the golden frames of the files come from there, so that a file that loads is one whose program agrees with
it. `PlainModel` is the same without torch, for tests of what lies around a model.
A file takes some 20 ms to make; torch is imported on the first one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.dsp.windows import PROFILES
from rtsep.model.contract import ModelSpec
from rtsep.model.package import Golden, write_package
from rtsep.model.runner import ModelRunner

KINDS = {
    "ones": "everything is voice",
    "zeros": "nothing is voice",
    "half": "0.5 everywhere",
    "takes-memory": "0.5 everywhere, and 40 MiB for a moment at every 64th column",
    "state-counter": "(n % 64) / 64 everywhere: tells a lost, doubled or reordered column, or a reset",
    "marker": "`mark(j)` everywhere, j = n - lookahead the column it is for: tells masks one column off",
    "echo": "the column's own real parts, limited to 0..1: tells which column was answered",
    "slow": "ones, after `work` products of 256 x 256 matrices (some 0.4 ms each on one slow core)",
    "nan": "not a number, at once: refused, as golden frames are ones",
    "nan-later": "ones, then not a number from column LATER on",
    "raises": "an exception, at once: refused",
    "raises-later": "ones, then an exception at every column from LATER on",
}


def _mono(n_fft: int, hop: int, rate: int, lookahead: int) -> dict[str, Any]:
    sizes = {"n_fft": n_fft, "synthesis": n_fft, "hop": hop}
    return {**sizes, "rates": (rate,), "channels": 1, "lookahead": lookahead}


FRAMINGS = {
    "unet": _mono(1024, 768, 8192, 127),
    "column-resnet": _mono(1024, 256, 22050, 12),
    "column-dense": _mono(2048, 512, 44100, 0),
}
"""Entries for `make_spec` that frame a test model as a published system is."""

LATER = 40
"""The column at which `-later` kinds break: after the golden frames, soon enough for a test."""

GOLDEN_STEPS = 8


def mark(number: int) -> float:
    """Return what a `marker` gives to column `number`; 8 values, none 0, no two alike in a row."""
    return ((5 * number) % 8 + 1) / 8 if number >= 0 else 0.0


def expected_mask(
    kind: str, number: int, column: NDArray[np.float32], lookahead: int = 0
) -> NDArray[np.float32]:
    """Return what model `kind` answers to its `number`th `column` [channels, bins, 2]: [channels, bins]."""
    shape = column.shape[:2]
    if kind == "echo":
        return np.clip(column[:, :, 0], 0, 1).astype(np.float32)
    level = {
        "zeros": 0.0,
        "half": 0.5,
        "takes-memory": 0.5,
        "state-counter": (number % 64) / 64,
        "marker": mark(number - lookahead),
        "nan-later": np.nan if number >= LATER else 1.0,
    }.get(kind, 1.0)
    return np.full(shape, level, np.float32)


def make_spec(
    kind: str = "ones", profile: str = "light", channels: int = 2, lookahead: int = 0, **changes: Any
) -> ModelSpec:
    """Return the spec of a test model; `changes` replace any of its entries."""
    framing = PROFILES[profile]
    entries: dict[str, Any] = {
        "name": f"test-{kind}",
        "system": "test",
        "n_fft": framing.n_fft,
        "synthesis": framing.synthesis,
        "hop": framing.hop,
        "state_size": 1,
        "channels": channels,
        "lookahead_hops": lookahead,
        "licence": "none, it is noise",
    }
    return ModelSpec(**(entries | changes))


@dataclass
class Parts:
    """The parts of a model file, for tests that build wrong ones."""

    program: bytes
    spec: ModelSpec
    golden: Golden

    def write(self, path: Path) -> Path:
        """Seal the parts into `path`."""
        write_package(path, self.program, self.spec, self.golden)
        return path


def make_golden(kind: str, spec: ModelSpec) -> Golden:
    """Return golden frames by the plain twin, from noise columns."""
    noise = np.random.default_rng(7)
    columns = noise.normal(0, 0.5, (GOLDEN_STEPS, spec.channels, spec.bins, 2)).astype(np.float32)
    masks = [expected_mask(kind, n, column, spec.lookahead_hops) for n, column in enumerate(columns)]
    return Golden(columns, np.stack(masks))


def make_parts(kind: str = "ones", work: int = 20, **entries: Any) -> Parts:
    """Return the parts of a model of `kind`; `entries` as for `make_spec`."""
    from tests.programs import program_bytes

    spec = make_spec(kind, **entries)
    return Parts(program_bytes(kind, spec, work), spec, make_golden(kind, spec))


def make_model(path: Path, kind: str = "ones", work: int = 20, **entries: Any) -> Path:
    """Write a model file of `kind` (one of KINDS) to `path` and return it.

    `profile` (live), `channels` (2), `lookahead` (0) and every entry of ModelSpec (`rates=(22050,)`,
    `stereo="left-right"`, ...) may be given. `work` is for `slow`.
    """
    if kind not in KINDS:
        raise ValueError(f"kind '{kind}': one of {', '.join(KINDS)}")
    return make_parts(kind, work, **entries).write(path)


class PlainModel(ModelRunner):
    """A runner in numpy that needs no file."""

    def __init__(self, kind: str = "ones", **entries: Any) -> None:
        self.kind = kind
        self.spec = make_spec(kind, **entries)
        self.column: NDArray[np.float32] = np.zeros((self.spec.channels, self.spec.bins, 2), np.float32)
        self.mask: NDArray[np.float32] = np.zeros((self.spec.channels, self.spec.bins), np.float32)
        self.steps = 0

    def step(self) -> None:
        """Turn `column` into `mask`."""
        self.mask[:] = expected_mask(self.kind, self.steps, self.column, self.spec.lookahead_hops)
        self.steps += 1

    def reset(self) -> None:
        """Reset the state."""
        self.steps = 0
