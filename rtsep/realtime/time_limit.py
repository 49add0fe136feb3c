"""A real-time thread that exceeds the system's time limit loses its priority instead of ending its process.

Desktops grant real-time priority with a limit (`RLIMIT_RTTIME`, 200 ms by rtkit): a thread that runs this
long without a wait gets SIGXCPU at the soft limit, and SIGKILL at the hard one; either ends the process. This
module sets the soft limit below the hard one, and the handler of its signal lowers the priority of the
thread.

The handler is compiled: it interrupts any code, so it takes no GIL and no lock, and allocates nothing.
"""

from __future__ import annotations

import ctypes
import resource
import signal
import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types
from numba.core import cgutils
from numba.extending import intrinsic

from rtsep.realtime.atomics import as_pointer

_SCHED_OTHER, _SCHED_FIFO, _SCHED_RR, _RESET_ON_FORK = 0, 1, 2, 0x40000000
_RTTIME, _SIGXCPU = 15, 24  # Linux's numbers, except on MIPS, SPARC and Alpha
_WORD = ir.IntType(64)

_get_policy = types.ExternalFunction("sched_getscheduler", types.int32(types.int32))
_set_policy = types.ExternalFunction(
    "sched_setscheduler", types.int32(types.int32, types.int32, types.voidptr)
)
_get_limit = types.ExternalFunction("getrlimit", types.int32(types.int32, types.voidptr))
_set_limit = types.ExternalFunction("setrlimit", types.int32(types.int32, types.voidptr))
_set_handler = types.ExternalFunction("signal", types.voidptr(types.int32, types.voidptr))
_raise = types.ExternalFunction("raise", types.int32(types.int32))

_installed = False


@intrinsic
def _two_words(typing_context):  # type: ignore[no-untyped-def]
    """_two_words() -> int64: the address of two int64 on the stack, both 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = cgutils.alloca_once(builder, _WORD, size=2)
        for k in range(2):
            builder.store(ir.Constant(_WORD, 0), builder.gep(words, [ir.Constant(_WORD, k)]))
        return builder.ptrtoint(words, _WORD)

    return types.int64(), generate


@cfunc(types.void(types.int32), nopython=True, cache=True)
def _take_priority(number):  # type: ignore[no-untyped-def]
    """Lower the priority of the thread that exceeded the limit: the kernel interrupts that thread."""
    address = _two_words()
    policy = _get_policy(np.int32(0)) & ~_RESET_ON_FORK
    if policy != _SCHED_FIFO and policy != _SCHED_RR:  # the signal of another limit, or sent by a program
        _set_handler(number, as_pointer(np.int64(0)))
        _raise(number)
        return
    _set_policy(np.int32(0), np.int32(_SCHED_OTHER), as_pointer(address))
    limit = carray(as_pointer(address), (2,), np.int64)  # soft, hard; -1: none
    if _get_limit(np.int32(_RTTIME), as_pointer(address)) == 0 and limit[1] >= 0:
        limit[0] = limit[1] // 2  # the kernel has raised it by a second, above the hard limit
        _set_limit(np.int32(_RTTIME), as_pointer(address))


def survive() -> bool:
    """Let threads of this process lose their priority at the limit; return whether that is arranged.

    It is not if the program handles the signal itself. Any thread may call this.
    """
    global _installed
    if sys.byteorder != "little" or int(signal.SIGXCPU) != _SIGXCPU or resource.RLIMIT_RTTIME != _RTTIME:
        return False
    if not _installed:
        if signal.getsignal(signal.SIGXCPU) is not signal.SIG_DFL:
            return False
        # Not signal.signal: it works only on the main thread, and its handlers wait for the interpreter.
        libc = ctypes.CDLL(None)
        libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
        libc.signal(_SIGXCPU, _take_priority.address)
        _installed = True
    soft, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    if hard != resource.RLIM_INFINITY and not 0 <= soft <= hard // 2:
        resource.setrlimit(resource.RLIMIT_RTTIME, (hard // 2, hard))
    return True
