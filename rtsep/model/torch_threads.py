"""One thread for torch's work on the calling thread, while the program's own setting stays what it is.

`torch.set_num_threads` is for the whole process: other threads, and those that begin meanwhile, get what it
sets. OpenMP and MKL, which do the work, have settings of the calling thread alone.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch


@contextlib.contextmanager
def one_here() -> Iterator[None]:
    """Let the calling thread do its work alone, and as before on the way out."""
    torch.get_num_threads()  # a thread's first call into torch sets it up, which would undo what follows
    openmp, mkl = _openmp(), _mkl()
    if openmp is None:  # another kind of threads: its setting is the process's
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
        return
    with openmp.limit(limits=1, user_api="openmp"):
        of_mkl = mkl(1)
        try:
            yield
        finally:
            mkl(of_mkl)


@lru_cache
def _openmp() -> Any:
    """Return what sets the threads of OpenMP; None where torch does without."""
    from threadpoolctl import ThreadpoolController  # not for a model process, which has torch for itself

    found = ThreadpoolController().select(user_api="openmp")
    return found if found.lib_controllers else None


@lru_cache
def _mkl() -> Callable[[int], int]:
    """Return what sets the threads of torch's MKL for the calling thread, and returns those before."""
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll"):
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / name))
            function: Callable[[int], int] = library.MKL_Set_Num_Threads_Local
            return function
    return lambda _: 0  # built without it
