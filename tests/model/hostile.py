"""Model files that attack: sealed with correct checksums, as any author can do."""

from __future__ import annotations

import hashlib
import io
import json
import pickletools
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rtsep.errors import ModelError
from rtsep.model.loader import load
from rtsep.model.package import read_package
from tests.models import Parts, make_parts
from tests.programs import scripted_bytes

Entries = dict[str, bytes]


def entries_of(content: bytes) -> Entries:
    """Return the entries of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sealed(entries: Entries) -> bytes:
    """Return an archive of these entries, those of a model file, with the checksum that they have."""
    spec_entry = next(name for name in entries if name.endswith("extra/spec.json"))
    digest = hashlib.sha256()
    for name in sorted(entries):
        if name != spec_entry:
            digest.update(name.encode() + b"\0" + entries[name])
    seal = json.loads(entries[spec_entry]) | {"content_sha256": digest.hexdigest()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, json.dumps(seal) if name == spec_entry else data)
    return buffer.getvalue()


def changed(path: Path, change: Callable[[Entries, str], None]) -> Path:
    """Write a model of ones to `path` whose entries `change(entries, root)` has changed, and seal it."""
    entries = entries_of(make_parts("ones", profile="stage").write(path).read_bytes())
    change(entries, next(iter(entries)).split("/")[0])
    path.write_bytes(sealed(entries))
    return path


def with_program(path: Path, module: torch.nn.Module) -> Path:
    """Write a model file with this program, which should answer ones to a column."""
    good = make_parts("ones", profile="stage")
    return Parts(scripted_bytes(module.eval()), good.spec, good.golden).write(path)


def tensor_by_build(pickle: bytes) -> bytes:
    """Return the pickle with `BUILD` for the call that makes its tensor, which then claims 16 MB.

    torch handles `BUILD` as `REDUCE`.
    """
    calls = [place for opcode, _, place in pickletools.genops(pickle) if opcode.name == "REDUCE"]
    at = pickle.index(b"(K\x01t")
    huge = b"(J" + struct.pack("<i", 1 << 22) + b"t"
    return pickle[:at] + huge + pickle[at + 4 : calls[-1]] + b"b" + pickle[calls[-1] + 1 :]


def refusal(path: Path) -> str:
    """Return the line by which reading or loading refuses `path`."""
    with pytest.raises(ModelError) as error:
        load(read_package(path))
    text = str(error.value)
    assert text.startswith(f"{path}: ") and "\n" not in text and text.isprintable() and len(text) < 400
    return text


class WritesFile(torch.nn.Module):
    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    def forward(self, column: Tensor) -> Tensor:
        return column

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        written = torch.from_file(self.target, True, 16)
        written.fill_(1.0)
        return torch.ones_like(column[:, :, 0]) + 0 * written.sum()


class ReadsFile(WritesFile):
    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        return torch.ones_like(column[:, :, 0]) + 0 * torch.from_file(self.target, False, 1).sum()


class SavesFile(WritesFile):
    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        torch.save(column, self.target)
        return torch.ones_like(column[:, :, 0])


class WritesAsItLoads(WritesFile):
    """torch runs `__setstate__` while it loads."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.loaded = 0.0

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.target, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.target = state[0]
        self.training = state[1]
        written = torch.from_file(state[0], True, 16)
        written.fill_(1.0)
        self.loaded = float(written.sum().item())

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        return torch.ones_like(column[:, :, 0])


class HidesInPart(torch.nn.Module):
    """The call lies two modules deep, in a branch that golden frames do not take."""

    class Part(torch.nn.Module):
        def __init__(self, target: str) -> None:
            super().__init__()
            self.inner = WritesFile(target)

        def forward(self, column: Tensor, state: Tensor) -> Tensor:
            if int(state[0].item()) > 1000:
                return self.inner.step(column, state)
            return torch.ones_like(column[:, :, 0])

    def __init__(self, target: str) -> None:
        super().__init__()
        self.part = self.Part(target)

    def forward(self, column: Tensor) -> Tensor:
        return column

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        return self.part(column, state)


class HidesUnused(WritesFile):
    """The call lies in a method of a part that nothing calls."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.part = WritesFile(target)

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        return torch.ones_like(column[:, :, 0])


class StepIsAPart(torch.nn.Module):
    """Its `step` is a module, no method."""

    class Part(torch.nn.Module):
        def forward(self, column: Tensor, state: Tensor) -> Tensor:
            return torch.ones_like(column[:, :, 0])

    def __init__(self) -> None:
        super().__init__()
        self.step = self.Part()

    def forward(self, column: Tensor) -> Tensor:
        return column


class NamesPart(torch.nn.Module):
    """Has a part called `a_part`."""

    def __init__(self) -> None:
        super().__init__()
        self.a_part = StepIsAPart.Part()

    def forward(self, column: Tensor) -> Tensor:
        return column

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        return self.a_part(column, state)


class Prints(torch.nn.Module):
    def forward(self, column: Tensor) -> Tensor:
        return column

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        for _ in range(2_000):
            print("more than a pipe holds while nobody reads from it", column.size(0))
        return torch.ones_like(column[:, :, 0])


class Warns(Prints):
    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        warnings.warn("look at me")  # noqa: B028 (torch knows no stacklevel here)
        return torch.ones_like(column[:, :, 0])


class Forks(Prints):
    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        return torch.jit.wait(torch.jit.fork(torch.ones_like, column[:, :, 0]))


class Quantises(Prints):
    """An operator of another namespace."""

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        mask = torch.ones_like(column[:, :, 0])
        return torch.ops.quantized.add_relu(mask, mask, 1.0, 0)


class LoopsForever(Prints):
    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        x = column[:, :, 0]
        while True:
            x = x + 1.0
        return x


class LoopsByCondition(Prints):
    """No check can tell that its condition never fails."""

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        x = torch.ones_like(column[:, :, 0])
        while bool((x > 0).any().item()):
            x = x + 1.0
        return x


class LoopsLong(Prints):
    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        x = torch.ones_like(column[:, :, 0])
        for _ in range(1_000_000_000_000):
            x = x * 1.0
        return x


class LoopsLongInSecret(Prints):
    """A `for` loop whose length is known only at run time: a case for the time limit."""

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        x = torch.ones_like(column[:, :, 0])
        for _ in range(x.numel() * 1_000_000_000):
            x = x * 1.0
        return x


class TakesMemory(Prints):
    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        x = torch.ones([column.numel(), 1_000_000])
        return torch.ones_like(column[:, :, 0]) + 0 * x.sum()


class AnswersTwo(Prints):
    """A natural mistake: the state is advanced in place."""

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(column[:, :, 0]), state


class LoopsLater(Prints):
    """Without end, in effect, at a column that no golden frame has."""

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        x = torch.ones_like(column[:, :, 0])
        for _ in range(int(column[0, 0, 0].item() > 1000.0) * 1_000_000_000):
            x = x * 1.0
        return x
