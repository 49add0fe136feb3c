"""The TorchScript programs behind `tests.models`, one class a kind."""

from __future__ import annotations

import io

import torch
from torch import Tensor

from rtsep.model.contract import ModelSpec
from rtsep.model.torchscript import without_warnings
from tests.models import LATER


class Program(torch.nn.Module):
    """Counts its columns in state[0]; the kind selects its answers."""

    def __init__(self, state_size: int, lookahead: int = 0, work: int = 0) -> None:
        super().__init__()
        self.state_size = state_size
        self.lookahead = lookahead
        self.work = work
        self.later = LATER
        turn = torch.linalg.qr(torch.randn(256, 256, generator=torch.Generator().manual_seed(1)))[0]
        self.register_buffer("turn", turn if work else torch.zeros(1))  # orthogonal: powers keep their size

    def answer(self, column: Tensor, number: int) -> Tensor:
        return torch.ones_like(column[:, :, 0])

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        number = int(state[0].item())
        mask = self.answer(column, number)
        state[0] += 1
        return mask

    @torch.jit.export
    def offline(self, columns: Tensor) -> Tensor:
        state = torch.zeros(self.state_size)
        masks: list[Tensor] = []
        for n in range(columns.size(0)):
            masks.append(self.step(columns[n], state))
        return torch.stack(masks)


class Zeros(Program):
    def answer(self, column: Tensor, number: int) -> Tensor:
        return torch.zeros_like(column[:, :, 0])


class Half(Program):
    def answer(self, column: Tensor, number: int) -> Tensor:
        return torch.full_like(column[:, :, 0], 0.5)


class TakesMemory(Half):
    def answer(self, column: Tensor, number: int) -> Tensor:
        if number % 64 == 63:  # more than malloc takes from the heap, so the system gives it each time
            taken = torch.empty([10 << 20])
            taken[0] = 0.0
            column = column + taken[0]
        return torch.full_like(column[:, :, 0], 0.5)


class StateCounter(Program):
    def answer(self, column: Tensor, number: int) -> Tensor:
        return torch.full_like(column[:, :, 0], (number % 64) / 64.0)


class Marker(Program):
    def answer(self, column: Tensor, number: int) -> Tensor:
        marked = number - self.lookahead
        level = ((5 * marked) % 8 + 1) / 8.0 if marked >= 0 else 0.0
        return torch.full_like(column[:, :, 0], level)


class Echo(Program):
    def answer(self, column: Tensor, number: int) -> Tensor:
        return column[:, :, 0].clamp(0.0, 1.0)


class Slow(Program):
    def answer(self, column: Tensor, number: int) -> Tensor:
        x = self.turn
        for _ in range(self.work):
            x = torch.mm(x, self.turn)
        return torch.ones_like(column[:, :, 0]) + 0.0 * x.sum()


class Nan(Program):
    def answer(self, column: Tensor, number: int) -> Tensor:
        return torch.full_like(column[:, :, 0], float("nan"))


class NanLater(Program):
    def answer(self, column: Tensor, number: int) -> Tensor:
        return torch.full_like(column[:, :, 0], float("nan") if number >= self.later else 1.0)


class Raises(Program):
    def answer(self, column: Tensor, number: int) -> Tensor:
        if number >= 0:
            raise ValueError("a program that raises")
        return torch.ones_like(column[:, :, 0])


class RaisesLater(Program):
    def answer(self, column: Tensor, number: int) -> Tensor:
        if number >= self.later:
            raise ValueError("a program that raises later")
        return torch.ones_like(column[:, :, 0])


class NoStep(torch.nn.Module):
    """A program of somebody else's."""

    def forward(self, column: Tensor) -> Tensor:
        return column


_CLASSES: dict[str, type[Program]] = {
    "ones": Program,
    "zeros": Zeros,
    "half": Half,
    "takes-memory": TakesMemory,
    "state-counter": StateCounter,
    "marker": Marker,
    "echo": Echo,
    "slow": Slow,
    "nan": Nan,
    "nan-later": NanLater,
    "raises": Raises,
    "raises-later": RaisesLater,
}


def scripted_bytes(module: torch.nn.Module) -> bytes:
    """Return the archive of `module`, scripted."""
    buffer = io.BytesIO()
    with without_warnings():
        torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


def program_bytes(kind: str, spec: ModelSpec, work: int) -> bytes:
    """Return the archive of the program of `kind`."""
    return scripted_bytes(
        _CLASSES[kind](spec.state_size, spec.lookahead_hops, work if kind == "slow" else 0).eval()
    )
