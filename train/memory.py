"""The memory that a process frees stays its own, so that the next array of that size costs no page faults.

The malloc of glibc returns every array of 32 MB and more to the system, and the kernel must clear its pages
again at the next use. A training step on a CPU allocates some hundred arrays of that size, and spent 40 % of
its time on new pages (see `man 3 mallopt`). The price is memory: a process keeps its largest need until it
ends.
"""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Numbers of the parameters in <malloc.h>."""

_FOR_CHILDREN = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**62)}
"""The same for the processes that this one starts: glibc reads them at the start of a process."""


def keep_freed_memory() -> bool:
    """Let this process, and those that it starts, keep what they free; return whether malloc does so.

    Without glibc nothing changes. A setting of the user, such as `MALLOC_MMAP_MAX_`, stays as it is.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _FOR_CHILDREN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    os.environ.update(_FOR_CHILDREN)
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))
