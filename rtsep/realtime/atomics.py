"""Acquire/release access to int64 words, and addresses of arrays, for compiled code.

Each slot has one writer and any number of readers, which is enough for single-producer rings and controls.
float64 controls are passed as their bits, so that a reader never gets half a value.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from rtsep.errors import CompileError

if numba.config.DISABLE_JIT:
    raise CompileError(
        "numba, the compiler, is turned off (NUMBA_DISABLE_JIT, or disable_jit in .numba_config.yaml); "
        "turn it on again"
    )

CACHE_LINE = 8
"""Number of int64 words in a cache line: words of different writers are at least this far apart."""


def _slot_pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    view = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, view, [index], wraparound=False)


@intrinsic
def load_acquire(typing_context, words, index):  # type: ignore[no-untyped-def]
    """load_acquire(words: int64[:], index) -> int64: writes before the matching release are visible."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _slot_pointer(context, builder, signature.args[0], args[0], args[1])
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(words, types.intp), generate


@intrinsic
def store_release(typing_context, words, index, value):  # type: ignore[no-untyped-def]
    """store_release(words: int64[:], index, value): publish `value` after all earlier writes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _slot_pointer(context, builder, signature.args[0], args[0], args[1])
        builder.store_atomic(args[2], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(words, types.intp, types.int64), generate


@intrinsic
def swap_word(typing_context, address, value):  # type: ignore[no-untyped-def]
    """swap_word(address: int64, value: int32) -> int32: store a word of 4 bytes, return the old one.

    A full barrier, for memory of which only the address is there.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(32).as_pointer())
        return builder.atomic_rmw("xchg", pointer, args[1], "seq_cst")

    return types.int32(types.int64, types.int32), generate


@intrinsic
def fence(typing_context):  # type: ignore[no-untyped-def]
    """fence(): full barrier, for two threads that each store a value and then read the other's."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def as_pointer(typing_context, address):  # type: ignore[no-untyped-def]
    """as_pointer(address: int64) -> void*."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


@intrinsic
def as_address(typing_context, pointer):  # type: ignore[no-untyped-def]
    """as_address(pointer: void*) -> int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], ir.IntType(64))

    return types.int64(types.voidptr), generate


@intrinsic
def bits_to_float(typing_context, bits):  # type: ignore[no-untyped-def]
    """bits_to_float(bits: int64) -> float64, the value with that bit pattern."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), generate


@njit(inline="always")
def address_of(words: np.ndarray, index: int) -> int:
    """Return the address of int64 slot `index`."""
    return np.int64(words.ctypes.data) + 8 * index  # type: ignore[return-value]


# These two keep the GIL: if it is released for a nanosecond, a busy interpreter takes 5 ms to return it.
@njit(cache=True)
def acquire(words: np.ndarray, index: int) -> int:
    """Call `load_acquire` from Python."""
    return load_acquire(words, index)


@njit(cache=True)
def release(words: np.ndarray, index: int, value: int) -> None:
    """Call `store_release` from Python."""
    store_release(words, index, value)
