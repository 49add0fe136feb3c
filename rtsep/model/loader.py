"""Loading and proof of a model by the form in its spec. Imports no model library."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np

from rtsep.errors import ModelError
from rtsep.model.contract import TORCHSCRIPT, ModelSpec
from rtsep.model.package import ModelPackage, read_package
from rtsep.model.runner import Form, ModelRunner

FORMS = {
    (TORCHSCRIPT, "cpu"): "rtsep.model.torchscript:FORM",
    (TORCHSCRIPT, "cuda"): "rtsep.model.cuda:FORM",  # experimental
}
"""Module and name of the `Form`, by the form of the file and its device. A new form is one more line."""

GOLDEN_TOLERANCE = 1e-3
"""Maximum difference of a replayed golden mask; other processors round differently."""


def preload() -> None:
    """Import the libraries of current model files before the model is known."""
    _import(TORCHSCRIPT, "cpu")


def form_of(spec: ModelSpec, compute: str = "cpu") -> Form:
    """Return the form that loads models like `spec` to `compute` ("cpu", "cuda"); import its library.

    Raise `ModelError` if there is none.
    """
    if (spec.form, compute) in FORMS:
        try:
            return _import(spec.form, compute)
        except ImportError as error:
            raise ModelError(f"form '{spec.form}' needs a library that is missing here ({error})") from None
    devices = [of_device for form, of_device in FORMS if form == spec.form]
    if devices:
        raise ModelError(f"form '{spec.form}' does not run on '{compute}'; use --compute {devices[0]}")
    known = ", ".join(dict.fromkeys(form for form, _ in FORMS))
    raise ModelError(f"form '{spec.form}' is not supported by this rtsep ({known}); export the model again")


def load(
    package: ModelPackage,
    compute: str = "cpu",
    *,
    graph: bool = True,
    own_thread: bool = False,
    begins: Callable[[str], None] = lambda stage: None,
) -> ModelRunner:
    """Load `package` to `compute` ("cpu", "cuda"), warm it up and replay its golden frames.

    `graph` as for `Form.load`; `own_thread` prepares the process for a thread that only runs models
    (`Form.take_this_thread`). Raise `ModelError` with the reason.
    """
    try:
        form = form_of(package.spec, compute)
    except ModelError as error:
        raise ModelError(f"{package.path}: {error}") from None
    if own_thread:
        form.take_this_thread()
    begins(f"{package.path}: loading its program")
    try:
        runner = form.load(package, graph=graph)
        begins(f"{package.path}: replaying its golden frames")
        runner.golden_error = _replay(runner, package)
    except ModelError:
        raise
    except MemoryError:
        raise ModelError(
            f"{package.path}: needs more memory than a model may use; export a smaller model"
        ) from None
    except Exception as error:  # a program can raise anything
        refusal = form.refusal(package, error)
        if refusal is None:
            raise
        raise refusal from None
    if not runner.golden_error <= GOLDEN_TOLERANCE:  # also true for NaN
        raise ModelError(
            f"{package.path}: its golden frames do not replay (off by {runner.golden_error:.2g}, allowed "
            f"{GOLDEN_TOLERANCE:g}); the file or this {form.engine} is broken"
        )
    return runner


def load_model(path: Path, compute: str = "cpu") -> ModelRunner:
    """Read, verify, load and prove the model file at `path`. Raise `ModelError`."""
    return load(read_package(path), compute)


def _import(form: str, compute: str) -> Form:
    return cast(Form, pkgutil.resolve_name(FORMS[form, compute]))


def _replay(runner: ModelRunner, package: ModelPackage) -> float:
    """Return the largest difference from the golden masks; then reset the state."""
    worst = 0.0
    runner.warm_up()
    for column, expected in zip(package.golden.columns, package.golden.masks, strict=True):
        runner.column[:] = column
        runner.step()
        worst = float(np.maximum(worst, np.abs(runner.mask - expected).max()))  # keeps NaN
    runner.column[:] = 0
    runner.reset()
    return worst
