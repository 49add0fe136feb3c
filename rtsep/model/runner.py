"""`ModelRunner`, the protocol of everything that runs a model, and `Form`, the base class of its loaders.

A form of model files (such as TorchScript) on one kind of device is one file with a subclass of `Form`, and a
line in the table `rtsep.model.loader.FORMS`. The model process, the separator, the benchmarks and the trainer
use only these two classes; libraries that run models are imported only in the files of the forms.
"""

from __future__ import annotations

import abc
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rtsep.errors import ModelError
from rtsep.model.contract import ModelSpec
from rtsep.model.package import ModelPackage


class GpuClock(Protocol):
    """Properties of the GPU that a runner uses."""

    not_captured: str
    """Reason why steps are not replayed from a graph; "" if they are, or if that was not requested."""

    clocked: bool
    """Set to True to time the next steps on the GPU; the timing itself costs two calls per step."""

    @property
    def captured(self) -> bool:
        """Return whether steps are replayed from a graph."""

    @property
    def device_us(self) -> float:
        """Return the duration of the last clocked step on the GPU in us, including copies."""


class ModelRunner(Protocol):
    """A loaded model with the state of one stream: one column in, one mask out. For one thread at a time.

    A subclass sets `spec`, `column` and `mask`, and defines `step` and `reset`. It may replace the rest.
    """

    spec: ModelSpec

    column: NDArray[np.float32]
    """Input of the next step [channels, bins, 2 (real, imaginary)]."""

    mask: NDArray[np.float32]
    """Output of the last step [channels, bins], share of the voice, 0..1."""

    golden_error: float = float("nan")
    """Largest difference from the masks of the golden frames; NaN if they were not replayed."""

    gpu: GpuClock | None = None
    """Clock of the GPU; None on a processor."""

    @property
    def alive(self) -> bool:
        """Return whether it can step; False once the process of a model in another process has ended."""
        return True

    def bind(self, column: NDArray[np.float32], mask: NDArray[np.float32]) -> None:
        """Read columns from and write masks to these arrays from now on; shapes as `column` and `mask`.

        They may be shared memory. The state does not change.
        """
        self.column, self.mask = column, mask

    @abc.abstractmethod
    def step(self) -> None:
        """Compute `mask` from `column` and advance the state. Raise the errors of the model's library."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Reset the state to that before the first column."""

    def warm_up(self) -> None:
        """Step until everything is compiled, on the thread that will step; then reset the state."""
        self.reset()


class Form(abc.ABC):
    """Loader of models of one form for one kind of device."""

    engine = "program"
    """Library that runs the models, with its version, for messages."""

    def take_this_thread(self) -> None:  # noqa: B027 (most libraries need no such setting)
        """Set the library up, for good, for one thread that only runs models.

        Only for rtsep's own programs, because it changes settings of the whole process.
        """

    @abc.abstractmethod
    def load(self, package: ModelPackage, *, graph: bool = True) -> ModelRunner:
        """Load `package.content` with a reset state; the caller checks the golden frames.

        With `graph=False` a GPU gets its work kernel by kernel, for comparison. Raise `ModelError` with the
        file, the reason and the remedy.
        """

    def refusal(self, package: ModelPackage, error: Exception) -> ModelError | None:
        """Return `error`, raised by a step, as one line for the user.

        None if neither the model nor the device is at fault: the error itself is then raised.
        """
        reason = str(error).strip() or type(error).__name__
        return ModelError(f"{package.path}: its program fails ({reason.splitlines()[0]}); export it again")
