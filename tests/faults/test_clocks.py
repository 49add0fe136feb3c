"""Clocks that jump: a suspended machine, and a time of day that is set. In a process that injects them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.program import python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="injects the clocks of Linux")

WAITS = """
from tests.faults import clocks
clocks.take_over()
import threading, time
import numpy as np
from rtsep.realtime import wake

semaphore, scratch = wake.Semaphore(), np.zeros(2, np.int64)
wake.wait(semaphore.handle, 1, scratch)  # compiled
for hours in (1, -2):
    clocks.offsets[clocks.REALTIME] += hours * 3600 * clocks.NS
    began = time.perf_counter()
    waiter = threading.Thread(target=wake.wait, args=(semaphore.handle, 300_000_000, scratch), daemon=True)
    waiter.start()
    waiter.join(30)
    assert not waiter.is_alive(), "it waits for an hour"
    assert time.perf_counter() - began > 0.25, "it does not wait"
print("waited")
"""


PATIENCE_S = 600.0


def test_a_wait_lasts_as_long_wherever_the_time_of_day_is_set_to() -> None:
    assert python("-c", WAITS, patience_s=PATIENCE_S).splitlines() == ["waited"]


def test_a_session_goes_on_after_an_hour_and_whatever_the_time_of_day(half_model: Path) -> None:
    passed = ["suspended for 10 s", "suspended for 3600 s", "set by -1 h", "set by 1 h"]
    told = python("-m", "tests.faults.clocks", str(half_model), patience_s=PATIENCE_S)
    assert told.splitlines() == passed
