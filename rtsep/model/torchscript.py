"""TorchScript on the processor: the form of current model files.

In the runtime, only this file and `rtsep.model.cuda` import torch. torch warns at each call that TorchScript
is deprecated; all such calls, including the trainer's, go through this file, which silences the warnings.
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
from torch import Tensor

from rtsep.errors import ModelError, without_controls
from rtsep.model.contract import ModelSpec
from rtsep.model.inspection import inspected
from rtsep.model.known import is_shipped
from rtsep.model.operators import refuse, refused_operator
from rtsep.model.package import ModelPackage
from rtsep.model.runner import Form, ModelRunner

WARM_UP_STEPS = 12
"""Steps before the first real one, because TorchScript profiles and compiles during its first calls."""

MAX_TIMES = 1 << 20
"""Maximum iterations of a loop in `step` with a constant count."""

MAX_MESSAGE = 200
"""Maximum characters of a program's own message that are shown."""

_OF_A_METHOD = "The following operation failed"  # appears for a method that torch runs during loading

_OF_THE_GPU = re.compile(
    r"\b(CUDA|CUBLAS|cuDNN|cuFFT|nvrtc)\b.{0,500}(error|out of memory|failed)", re.IGNORECASE
)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Silence torch's warnings that TorchScript is deprecated. Not thread-safe."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def script(program: torch.nn.Module, methods: Sequence[str]) -> Any:
    """Return `program` scripted and frozen, with these `methods`. Raise torch's errors."""
    with without_warnings():
        return torch.jit.freeze(torch.jit.script(program.eval()), preserved_attrs=list(methods))


def to_bytes(scripted: Any) -> bytes:
    """Return a scripted program as the bytes of its file: a zip archive with one root folder."""
    buffer = io.BytesIO()
    with without_warnings():
        torch.jit.save(scripted, buffer)
    return buffer.getvalue()


def from_bytes(content: bytes) -> Any:
    """Load an own program from the bytes of its file. Raise `RuntimeError` if torch cannot."""
    with without_warnings():
        return torch.jit.load(io.BytesIO(content), map_location=torch.device("cpu"))


def take_this_thread() -> None:
    """Set torch up for one thread that only runs models, because a hop is too short to share among threads.

    Only for rtsep's own programs; users of the library choose for themselves.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def cause_line(error: Exception) -> str:
    """Return the line of torch's message that contains the cause.

    For a GPU error it is the first line about the GPU, because advice on debugging follows. Else it is the
    last line, which has a program's own error after the lines of the program.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    of_gpu = next(filter(_OF_THE_GPU.search, lines), None)
    if of_gpu is None:  # untrusted text must not move the cursor
        return without_controls(lines[-1][:MAX_MESSAGE])
    return ". ".join(of_gpu.removeprefix("RuntimeError: ").split(". ")[:2]).rstrip(".")  # without the advice


def mentions_gpu(error: Exception) -> bool:
    """Return whether torch's message blames the GPU, its driver or its libraries."""
    return _OF_THE_GPU.search(str(error)) is not None


def as_mask(answer: Any, shape: torch.Size) -> Tensor:
    """Return the answer of a program; raise `RuntimeError` if it is not a tensor with the `shape` of a mask.

    torch would repeat an answer that is too small.
    """
    if not isinstance(answer, Tensor):
        raise RuntimeError(f"'step' returns a {type(answer).__name__}, not a mask alone")
    if answer.shape != shape:
        raise RuntimeError(f"a mask of shape {list(answer.shape)}, not {list(shape)}")
    return answer


class TorchScriptRunner(ModelRunner):
    """Program of `rtsep.model.contract` with its state, both on the processor."""

    def __init__(self, spec: ModelSpec, program: Any) -> None:
        """Use `program`, whose `program(column, state)` returns the mask and advances the state in place."""
        self.spec = spec
        self._program = program
        self._state = torch.zeros(spec.state_size)
        shape = (spec.channels, spec.bins)
        self.bind(np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32))

    def bind(self, column: NDArray[np.float32], mask: NDArray[np.float32]) -> None:
        """Run `ModelRunner.bind`."""
        self.column, self.mask = column, mask
        self._column = torch.from_numpy(column)
        self._mask = torch.from_numpy(mask)

    @torch.inference_mode()  # type: ignore[untyped-decorator,unused-ignore]
    def step(self) -> None:
        """Run `ModelRunner.step`; raise `RuntimeError`, `TypeError` or `torch.jit.Error`."""
        self._mask.copy_(as_mask(self._program(self._column, self._state), self._mask.shape))

    @torch.inference_mode()  # type: ignore[untyped-decorator,unused-ignore]
    def reset(self) -> None:
        """Run `ModelRunner.reset`."""
        self._state.zero_()

    def warm_up(self) -> None:
        """Run `ModelRunner.warm_up`."""
        for _ in range(WARM_UP_STEPS):
            self.step()
        self.reset()


class TorchScript(Form):
    """Loads TorchScript to the processor."""

    engine = f"torch ({torch.__version__})"

    def take_this_thread(self) -> None:
        """Run `Form.take_this_thread` for torch."""
        take_this_thread()

    def load(self, package: ModelPackage, *, graph: bool = True) -> ModelRunner:
        """Load the package to the processor, which has no graphs; see `Form.load`."""
        del graph
        try:
            program = load_checked(package)
        except RuntimeError as error:
            raise unloadable(package.path, error) from None
        return TorchScriptRunner(package.spec, program)

    def refusal(self, package: ModelPackage, error: Exception) -> ModelError | None:
        """Return the error as one line, see `Form.refusal`."""
        # torch.jit.Error is the program's own
        if not isinstance(error, RuntimeError | TypeError | torch.jit.Error):
            return None
        return ModelError(f"{package.path}: its program fails ({cause_line(error)}); export it again")


def load_checked(package: ModelPackage, device: str = "cpu") -> Any:
    """Load the program of `package` after a check of everything that it may do; a shipped one is trusted.

    Return its method `step`. Raise `ModelError` for a program that may do more than compute, `RuntimeError`
    if torch cannot load it.
    """
    shipped = is_shipped(package.sha256)
    try:
        program = _imported(package.content if shipped else inspected(package.content), device)
        if not program._has_method("step"):
            raise ModelError("its program has no method 'step'; export it again")
        if not shipped:
            check_graphs(program)
    except ModelError as error:
        text = str(error).removeprefix(f"{package.path}: ")
        raise ModelError(f"{package.path}: {text}") from None
    return program._get_method("step")


def _imported(content: bytes, device: str) -> Any:
    """Load a program without a Python module around it, whose own names the program's parts could take."""
    return torch._C.import_ir_module_from_buffer(
        torch._C.CompilationUnit(),
        content,  # type: ignore[arg-type,unused-ignore]
        torch.device(device),
        {},
        False,
    )


def check_graphs(program: Any, played: str = "step") -> None:
    """Raise `ModelError` for a loaded program, or a part of it, with graph nodes that no separator needs.

    `played` is the method that a hop calls. No method has run yet, except those that torch runs during
    loading; `rtsep.model.operators` checks these.
    """
    for name in program._method_names():
        graph = program._get_method(name).graph.copy()
        torch._C._jit_pass_inline(graph)
        _check_block(graph, name == played)
    for _, part in torch._C.ModuleDict(program).items():
        check_graphs(part, "")


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
    """Return whether a loop has no bound but its condition: a `while`, or a `for` over too many."""
    times = next(loop.inputs()).node()
    return bool(times.kind() == "prim::Constant" and times.output().toIValue() > MAX_TIMES)


def unloadable(path: Path, error: RuntimeError) -> ModelError:
    """Return the error for a file whose program torch cannot load."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:MAX_MESSAGE]
    if reason.startswith(_OF_A_METHOD):
        reason = cause_line(error)
    shown = without_controls(reason)
    return ModelError(f"{path}: torch cannot load it ({shown}); fetch or export it again")


FORM = TorchScript()
