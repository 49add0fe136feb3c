"""A second form of model files, as somebody would add one: this file, and one line in `loader.FORMS`.

Its program is one array of weights [channels, bins]. A mask is the smoothed magnitude of the columns times
the weights, limited to 0..1. It needs no library but numpy.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import ModelError
from rtsep.model.contract import ModelSpec
from rtsep.model.package import ModelPackage
from rtsep.model.runner import Form, ModelRunner

WEIGHTS = "model/weights.npy"


class NumpyRunner(ModelRunner):
    def __init__(self, spec: ModelSpec, weights: NDArray[np.float32]) -> None:
        self.spec, self._weights = spec, weights
        self.column = np.zeros((spec.channels, spec.bins, 2), np.float32)
        self.mask = np.zeros((spec.channels, spec.bins), np.float32)
        self._state = np.zeros_like(self.mask)

    def step(self) -> None:
        self._state += 0.5 * (np.hypot(self.column[..., 0], self.column[..., 1]) - self._state)
        self.mask[:] = np.clip(self._weights * self._state, 0, 1)

    def reset(self) -> None:
        self._state[:] = 0


class NumpyForm(Form):
    engine = f"numpy ({np.__version__})"

    def load(self, package: ModelPackage, *, graph: bool = True) -> ModelRunner:
        with zipfile.ZipFile(io.BytesIO(package.content)) as archive:
            if WEIGHTS not in archive.namelist():
                raise ModelError(f"{package.path}: it holds no weights; export it again")
            weights = np.load(io.BytesIO(archive.read(WEIGHTS)))
        return NumpyRunner(package.spec, weights)


FORM = NumpyForm()


def program_bytes(weights: NDArray[np.float32]) -> bytes:
    """The program of a model file of this form."""
    array, program = io.BytesIO(), io.BytesIO()
    np.save(array, weights)
    with zipfile.ZipFile(program, "w") as archive:
        archive.writestr(WEIGHTS, array.getvalue())
    return program.getvalue()
