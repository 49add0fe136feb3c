"""`ModelRunner`, the protocol of everything that runs a model, and `Form`, the base of what loads one.

A form of model files (TorchScript, say) on one kind of device is one file with a subclass of `Form`, and a
line in the table `rtsep.model.loader.FORMS`. The model process, the separator, the benchmarks and the trainer
use these two classes only; no library that runs models is imported outside of the files of the forms.
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
    """What a runner tells of the GPU that it computes on."""

    not_captured: str
    """Why steps are not replayed from a graph; "" if they are, or if nobody asked for it."""

    clocked: bool
    """Set to True to time the next steps on the GPU; the timing itself costs two calls a step."""

    @property
    def captured(self) -> bool:
        """Whether steps are replayed from a graph."""

    @property
    def device_us(self) -> float:
        """Duration of the last clocked step on the GPU in us, its copies included."""


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
    """Largest difference from the masks of the golden frames; not a number if they were not replayed."""

    gpu: GpuClock | None = None
    """The clock of the GPU; None on a processor."""

    def bind(self, column: NDArray[np.float32], mask: NDArray[np.float32]) -> None:
        """Read columns from and write masks to these arrays from now on; shapes as `column` and `mask`.

        They may be shared memory. The state stays as it is.
        """
        self.column, self.mask = column, mask

    @abc.abstractmethod
    def step(self) -> None:
        """Turn `column` into `mask` and advance the state. Raises what the model's library raises."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Set the state to its beginning, as if no column had come."""

    def warm_up(self) -> None:
        """Step until all is compiled, on the thread that will step; leaves the state at its beginning."""
        self.reset()


class Form(abc.ABC):
    """How models of one form are loaded to one kind of device."""

    engine = "program"
    """The library that runs the models, with its version: it stands in messages."""

    def take_this_thread(self) -> None:  # noqa: B027 (most libraries need no such setting)
        """Set the library up for one thread that does nothing else, for good.

        For programs of our own: it changes settings of the whole process.
        """

    @abc.abstractmethod
    def load(self, package: ModelPackage, *, graph: bool = True) -> ModelRunner:
        """Load `package.content` with its state at the beginning; golden frames are the caller's work.

        With `graph=False` a GPU gets its work kernel by kernel, for comparison. Raises `ModelError` that
        names the file, the reason and the remedy.
        """

    def refusal(self, package: ModelPackage, error: Exception) -> ModelError | None:
        """Return `error`, which a step has raised, as one line for the user.

        None if it is no fault of the model or the device: the error itself is raised then.
        """
        reason = str(error).strip() or type(error).__name__
        return ModelError(f"{package.path}: its program fails ({reason.splitlines()[0]}); export it again")
