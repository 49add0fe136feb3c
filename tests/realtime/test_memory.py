"""Large memory goes back to the system when its owner goes."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rtsep.realtime.memory import mapped_zeros

MEGABYTES = 20
ROUNDS = 40


def test_they_are_zeros_that_can_be_written():
    array = mapped_zeros(3, 5, 2)
    assert array.shape == (3, 5, 2) and array.dtype == np.float32
    assert array.flags.c_contiguous and array.flags.writeable and not array.any()
    array[1, 2] = 7
    assert array.sum() == 14
    assert mapped_zeros(0, 4).shape == (0, 4)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_threads_that_make_and_drop_them_leave_nothing_behind():
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20  # MB

    def make_and_drop(_: int) -> None:
        first = mapped_zeros(MEGABYTES << 18)
        second = mapped_zeros(MEGABYTES << 18)
        del first
        second[:] = 1

    gc.collect()
    before = resident()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make_and_drop, range(ROUNDS)))
    assert resident() - before < MEGABYTES
