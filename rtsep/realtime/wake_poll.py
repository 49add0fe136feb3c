"""The fallback for every system: poll every quarter of a millisecond."""

from __future__ import annotations

import numpy as np
from numba import njit

from rtsep.realtime.clock import sleep_ns

NAME = "polling"
SHARED_BYTES = 64

POLL_NS = 250_000


@njit(nogil=True)
def post(handle: int) -> None:
    """Do nothing: the waiter polls."""


@njit(nogil=True)
def wait(handle: int, timeout_ns: int, scratch: np.ndarray) -> None:
    """Sleep for one poll, or for `timeout_ns` if that is shorter."""
    sleep_ns(min(timeout_ns, POLL_NS), scratch)


class Semaphore:
    """Semaphore without state: the ring indices show the work."""

    def __init__(self, address: int | None = None, name: str = "", create: bool = True) -> None:
        self.handle = 0

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
