"""The fallback that works anywhere: look again every quarter of a millisecond."""

from __future__ import annotations

import numpy as np
from numba import njit

from rtsep.realtime.clock import sleep_ns

NAME = "polling"
SHARED_BYTES = 64

POLL_NS = 250_000


@njit(nogil=True)
def post(handle: int) -> None:
    """Nothing to do: the waiter looks by itself."""


@njit(nogil=True)
def wait(handle: int, timeout_ns: int, scratch: np.ndarray) -> None:
    """Sleep for one poll, or for `timeout_ns` where that is shorter."""
    sleep_ns(min(timeout_ns, POLL_NS), scratch)


class Semaphore:
    """No state: the ring indices tell what there is to do."""

    def __init__(self, address: int | None = None, name: str = "", create: bool = True) -> None:
        self.handle = 0

    def close(self) -> None:
        """Nothing to give back."""
