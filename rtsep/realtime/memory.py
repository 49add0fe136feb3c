"""Large memory that returns to the system with its owner.

A session that follows the rates of its devices creates and drops engines for its whole life, each on another
thread. The C library keeps their freed memory in a pool for each thread (glibc: up to 40 MB in each of eight
pools per core, once arrays of some size have been freed). Therefore the largest arrays are separate mappings.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

_made = 0


def mappings_made() -> int:
    """Return how many arrays `mapped_zeros` has made so far."""
    return _made


def mapped_zeros(*shape: int) -> NDArray[np.float32]:
    """Return zeros in a separate mapping, which ends with the array and all views of it.

    Their pages are present, so no hop waits for a first access. Raise `OSError` if memory is short.
    """
    global _made
    _made += 1
    count = int(np.prod(shape))
    size = max(1, 4 * count)
    if hasattr(mmap, "MAP_ANONYMOUS"):  # private to this process: a fork has a copy
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    else:
        memory = mmap.mmap(-1, size)
    array = np.frombuffer(memory, np.float32, count).reshape(shape)
    array.fill(0)
    return array
