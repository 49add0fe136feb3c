"""Large memory that goes back to the system when its owner goes.

A session that follows the rates of its devices makes and drops engines for as long as it lives, each on
another thread. What the C library takes back from them it keeps for later, in a pool for each thread (glibc:
up to 40 MB in each of eight pools for a core, once arrays of some size have been freed). So the largest
arrays are mappings of their own.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray


def mapped_zeros(*shape: int) -> NDArray[np.float32]:
    """Return zeros in a mapping of their own, which ends with the array and all views of it.

    Their pages are there: no hop waits for the first touch. Raises `OSError` where there is no memory.
    """
    count = int(np.prod(shape))
    size = max(1, 4 * count)
    if hasattr(mmap, "MAP_ANONYMOUS"):  # of this process alone: a fork has a copy
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    else:
        memory = mmap.mmap(-1, size)
    array = np.frombuffer(memory, np.float32, count).reshape(shape)
    array.fill(0)
    return array
