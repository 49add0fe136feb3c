"""TorchScript on the processor: the form of today's model files.

Of the runtime, only this file and `rtsep.model.cuda` import torch. torch warns that TorchScript is deprecated
at each call; those calls, the trainer's too, go through this file, which silences the warnings.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rtsep.errors import ModelError
from rtsep.model.contract import ModelSpec
from rtsep.model.inspection import inspected
from rtsep.model.known import is_shipped
from rtsep.model.operators import refuse, refused_operator
from rtsep.model.package import ModelPackage
from rtsep.model.runner import Form, ModelRunner

WARM_UP_STEPS = 12
"""Steps before the first real one: TorchScript profiles and compiles during its first calls."""

MAX_TIMES = 1 << 20
"""How often a loop in `step` may run where the number stands in the program."""

MAX_SAID = 200
"""Characters of a program's own message that are shown."""

_OF_A_METHOD = "The following operation failed"  # in one that torch runs while it loads

_OF_THE_GPU = re.compile(r"\b(CUDA|CUBLAS|cuDNN|cuFFT|nvrtc)\b.*(error|out of memory|failed)", re.IGNORECASE)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Silence torch's warnings that TorchScript is deprecated. Not for several threads at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def script(program: torch.nn.Module, methods: Sequence[str]) -> Any:
    """Return `program` scripted and frozen, with these `methods`. Raises whatever torch raises."""
    with without_warnings():
        return torch.jit.freeze(torch.jit.script(program.eval()), preserved_attrs=list(methods))


def to_bytes(scripted: Any) -> bytes:
    """Return a scripted program as the bytes of its file: a zip archive with one root folder."""
    buffer = io.BytesIO()
    with without_warnings():
        torch.jit.save(scripted, buffer)
    return buffer.getvalue()


def from_bytes(content: bytes, device: str = "cpu") -> Any:
    """Load a program from the bytes of its file. Raises `RuntimeError` if torch cannot."""
    with without_warnings():
        return torch.jit.load(io.BytesIO(content), map_location=torch.device(device))


def take_this_thread() -> None:
    """Set torch up for one thread that does nothing else: a hop is too short to share among threads.

    For programs of our own; whoever uses the library decides for itself.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def telling_line(error: Exception) -> str:
    """Return the line of torch's message that says what went wrong.

    Of a GPU it is the first that speaks of it: advice on debugging follows. Else it is the last one, which a
    program's own error stands in, after the lines of the program.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    of_gpu = next(filter(_OF_THE_GPU.search, lines), None)
    if of_gpu is None:  # a stranger's words: nothing in them may move the cursor
        return "".join(c if c.isprintable() else "?" for c in lines[-1][:MAX_SAID])
    return ". ".join(of_gpu.removeprefix("RuntimeError: ").split(". ")[:2]).rstrip(".")  # advice again


def speaks_of_gpu(error: Exception) -> bool:
    """Whether torch's message lays the fault on the GPU, its driver or its libraries."""
    return _OF_THE_GPU.search(str(error)) is not None


class TorchScriptRunner(ModelRunner):
    """A program of `rtsep.model.contract` and its state, both on the processor."""

    def __init__(self, spec: ModelSpec, module: Any) -> None:
        """Take `module`, whose `step(column, state)` gives the mask and advances the state in place."""
        self.spec = spec
        self._module = module
        self._state = torch.zeros(spec.state_size)
        shape = (spec.channels, spec.bins)
        self.bind(np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32))

    def bind(self, column: NDArray[np.float32], mask: NDArray[np.float32]) -> None:
        """As `ModelRunner.bind`."""
        self.column, self.mask = column, mask
        self._column = torch.from_numpy(column)
        self._mask = torch.from_numpy(mask)

    @torch.inference_mode()  # type: ignore[untyped-decorator,unused-ignore]
    def step(self) -> None:
        """As `ModelRunner.step`; raises `RuntimeError`, `TypeError` or `torch.jit.Error`."""
        self._mask.copy_(self._module.step(self._column, self._state))

    @torch.inference_mode()  # type: ignore[untyped-decorator,unused-ignore]
    def reset(self) -> None:
        """As `ModelRunner.reset`."""
        self._state.zero_()

    def warm_up(self) -> None:
        """As `ModelRunner.warm_up`."""
        for _ in range(WARM_UP_STEPS):
            self.step()
        self.reset()


class TorchScript(Form):
    """Loads TorchScript to the processor."""

    engine = f"torch ({torch.__version__})"

    def take_this_thread(self) -> None:
        """As `Form.take_this_thread`."""
        take_this_thread()

    def load(self, package: ModelPackage, *, graph: bool = True) -> ModelRunner:
        """As `Form.load`; a processor has no graphs."""
        del graph
        try:
            module = load_checked(package)
        except RuntimeError as error:
            raise unloadable(package.path, error) from None
        return TorchScriptRunner(package.spec, module)

    def refusal(self, package: ModelPackage, error: Exception) -> ModelError | None:
        """As `Form.refusal`."""
        if not isinstance(error, RuntimeError | TypeError | torch.jit.Error):  # the last: the program's own
            return None
        return ModelError(f"{package.path}: its program fails ({telling_line(error)}); export it again")


def load_checked(package: ModelPackage, device: str = "cpu") -> Any:
    """Load the program of `package`, after a look at all that it may do; a shipped one is known already.

    Raises `ModelError` for a program that may do more than compute, `RuntimeError` if torch cannot load it.
    """
    if is_shipped(package.sha256):
        module = from_bytes(package.content, device)
        check_step(package.path, module)
        return module
    try:
        module = from_bytes(inspected(package.content), device)
        check_step(package.path, module)
        check_graphs(module)
    except ModelError as error:
        text = str(error).removeprefix(f"{package.path}: ")
        raise ModelError(f"{package.path}: {text}") from None
    return module


def check_graphs(module: Any) -> None:
    """Raise `ModelError` for a loaded program whose graphs have what a separator does not need.

    No method has run then, but what torch itself runs while it loads; `rtsep.model.operators` looks for that.
    """
    program = module._c
    for name in program._method_names():
        graph = program._get_method(name).graph.copy()
        torch._C._jit_pass_inline(graph)
        _check_block(graph, played=name == "step")


def _check_block(block: Any, played: bool) -> None:
    for node in block.nodes():
        if refused_operator(kind := node.kind()):
            raise refuse(kind)
        if kind == "prim::Loop" and played and _is_unbounded(node):
            raise ModelError(
                "its program has a 'while' loop in 'step', which may never end; export it with 'for' loops"
            )
        for inner in node.blocks():
            _check_block(inner, played)


def _is_unbounded(loop: Any) -> bool:
    """Whether nothing but its condition ends a loop: a `while`, or a `for` over too much."""
    times = next(loop.inputs()).node()
    return bool(times.kind() == "prim::Constant" and times.output().toIValue() > MAX_TIMES)


def unloadable(path: Path, error: RuntimeError) -> ModelError:
    """Return the error of a file whose program torch does not load."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:MAX_SAID]
    if reason.startswith(_OF_A_METHOD):
        reason = telling_line(error)
    shown = "".join(c if c.isprintable() else "?" for c in reason)
    return ModelError(f"{path}: torch cannot load it ({shown}); fetch or export it again")


def check_step(path: Path, module: Any) -> None:
    """Raise `ModelError` for a program that is not one of the model contract."""
    if not hasattr(module, "step"):
        raise ModelError(f"{path}: its program has no method 'step'; export it again")


FORM = TorchScript()
