"""Check of the pickles in a TorchScript file, without creating any of their objects.

torch's own reader of such pickles calls no Python function, but it trusts the described tensors: one that
reaches beyond its data reads and writes other memory of the process. Therefore this check keeps a stack and
marks like that reader, accepts only the few opcodes and names that torch writes, in the places where it
writes them, and compares tensors with their data.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from rtsep.errors import ModelError

MAX_BYTES = 1 << 20
"""Maximum bytes of one pickle. The largest one shipped has 3 kB; a tensor takes about 100 bytes."""

MAX_MEMO = 1 << 16

MAX_DIMENSIONS = 64
"""Maximum dimensions of a tensor, as in torch."""

ITEM_BYTES = {
    "FloatStorage": 4, "DoubleStorage": 8, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8,
    "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
    "ComplexFloatStorage": 8,
}  # fmt: skip
"""Bytes of an element, by the type of its storage."""

_BUILDERS = {
    f"torch.jit._pickle {name}"
    for name in (
        "build_intlist",
        "build_tensorlist",
        "build_doublelist",
        "build_boollist",
        "restore_type_tag",
    )
}
_TENSOR = "torch._utils _rebuild_tensor_v2"
_DICT = "collections OrderedDict"
_CLASS = re.compile(r"__torch__(\.\w+)* \w+")
_EXTENSION = "__torch__.torch.classes"

_PLAIN = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (),
}  # fmt: skip
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}


class _Name(NamedTuple):
    name: str


class _Object:
    """Object of a program's class that has no state yet.

    For torch it is still the number of its class: `BUILD` calls the function with the number below its
    argument, as `REDUCE` does.
    """


class _List:
    """List, without its items."""


class _Dict:
    """Dictionary, without its entries."""


class _Storage(NamedTuple):
    item_bytes: int
    elements: int


class _Made:
    """Object that needs no further check."""


def check_pickle(data: bytes, tensor_data: Callable[[str], bytes | None]) -> None:
    """Raise `ModelError` for a pickle that does more than describe the values of a module.

    `tensor_data` returns the bytes of a tensor's data by its key, None if there are none.
    """
    if len(data) > MAX_BYTES:
        raise ModelError(f"{len(data):,} bytes of description; at most {MAX_BYTES:,} are accepted")
    _Walk(tensor_data).run(data)


class _Walk:
    def __init__(self, tensor_data: Callable[[str], bytes | None]) -> None:
        self._tensor_data = tensor_data
        self._stack: list[Any] = []
        self._marks: list[int] = []  # heights of the stack
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> None:
        """Process all of `data`."""
        try:
            end = self._walk(data)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ModelError(f"its description of values is damaged ({type(error).__name__})") from None
        if end != len(data):
            raise ModelError("its description of values has data after its end")

    def _walk(self, data: bytes) -> int:
        end = 0
        for opcode, argument, position in pickletools.genops(data):
            if opcode.name == "STOP":
                end = (position or 0) + 1
                break
            self._do(opcode.name, argument)
        return end

    def _do(self, opcode: str, argument: Any) -> None:
        stack = self._stack
        if opcode in _VALUES:
            stack.append(argument)
        elif opcode in _PLAIN:
            stack.append(_PLAIN[opcode])
        elif opcode in ("BINPUT", "LONG_BINPUT"):
            if argument > MAX_MEMO:
                raise ModelError("its description of values has a memo that is too large")
            self._memo[argument] = stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif opcode == "MARK":
            self._marks.append(len(stack))
        elif opcode == "EMPTY_LIST":
            stack.append(_List())
        elif opcode == "EMPTY_DICT":
            stack.append(_Dict())
        elif opcode == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif opcode in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(opcode[-1])
            items = tuple(stack[-count:])
            del stack[-count:]
            stack.append(items)
        elif opcode == "APPENDS":
            self._since_mark()
            _require(stack[-1], _List)
        elif opcode == "SETITEMS":
            if len(self._since_mark()) % 2:
                raise ModelError("its description of values has a key without a value")
            _require(stack[-1], _Dict)
        elif opcode == "APPEND":
            stack.pop()
            _require(stack[-1], _List)
        elif opcode == "GLOBAL":
            stack.append(_Name(_accepted(argument)))
        elif opcode == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        elif opcode == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(self._call(function, arguments))
        elif opcode == "NEWOBJ":
            arguments, made = stack.pop(), stack.pop()
            if arguments != () or not isinstance(made, _Name) or not made.name.startswith("__torch__"):
                raise ModelError("its description of values creates an object of an unknown class")
            stack.append(_Object())
        elif opcode == "BUILD":
            del stack[-1]
            _require(stack.pop(), _Object)
            stack.append(_Made())
        elif opcode != "PROTO":
            raise ModelError(f"its description of values uses {opcode}, which models do not use")

    def _since_mark(self) -> list[Any]:
        at = self._marks.pop()
        if at > len(self._stack):
            raise IndexError
        items = self._stack[at:]
        del self._stack[at:]
        return items

    def _storage(self, given: Any) -> _Storage:
        kind, storage, key, device, elements = given
        name = storage.name.removeprefix("torch ")
        if kind != "storage" or name not in ITEM_BYTES or not isinstance(key, str) or not _is_count(elements):
            raise ModelError("its description of values has data of an unknown type")
        if not isinstance(device, str):
            raise ModelError("the description of its stored values has no device; export it again")
        data = self._tensor_data(key)
        if data is None or len(data) != elements * ITEM_BYTES[name]:
            found = "none" if data is None else f"{len(data):,} bytes"
            raise ModelError(
                f"a tensor needs {elements:,} elements of its data '{key[:20]}', but {found} are stored"
            )
        return _Storage(ITEM_BYTES[name], elements)

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise ModelError(
                "its description of values makes a call to something that is not a function of torch"
            )
        if function.name == _TENSOR:
            _check_tensor(*arguments[:4])
        elif function.name in _BUILDERS:
            return arguments[0] if function.name.endswith("restore_type_tag") else _Made()
        elif function.name != _DICT or arguments:
            raise ModelError(
                f"its description of values calls '{function.name[:60]}', which models do not use"
            )
        return _Made()


def _check_tensor(storage: Any, offset: Any, sizes: Any, strides: Any) -> None:
    """Raise `ModelError` for a tensor that reaches beyond its data."""
    counts = (offset, *sizes, *strides)
    known = isinstance(storage, _Storage) and len(sizes) == len(strides) <= MAX_DIMENSIONS
    if not known or not all(map(_is_count, counts)) or not _is_count(math.prod(sizes)):
        raise ModelError("its description of values has a tensor of an unknown form")
    if 0 in sizes:
        return
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if last >= storage.elements:
        raise ModelError(
            f"a tensor of {list(sizes)} ends beyond its data ({last + 1:,} elements of {storage.elements:,})"
        )


def _require(value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise ModelError("its description of values fills something that is no list, dictionary or object")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40


def _accepted(name: str) -> str:
    known = name in _BUILDERS or name in (_TENSOR, _DICT)
    storage = name.startswith("torch ") and name.removeprefix("torch ") in ITEM_BYTES
    own = _CLASS.fullmatch(name) is not None and not name.startswith(_EXTENSION)
    if not (known or storage or own):
        raise ModelError(f"its description of values contains '{name[:60]}', which models do not use")
    return name
