"""Waiting that a signal interrupts, on every system and at every moment.

Python notes a signal at once and runs its handler on the main thread, as soon as that is back in Python. A
wait for a lock does not always come back for it. On Windows it never does. Elsewhere it does not if another
thread was given the signal, or if the signal came between Python's last look and the wait. The second case
is rare on a quiet machine; on a busy one it met three of some thirty starts that were interrupted at once.
So the main thread waits in pieces.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from typing import TypeVar

T = TypeVar("T")

PIECE_S = 0.1
"""A handler runs after this time at the latest."""


def wait_for(event: threading.Event, timeout_s: float | None = None) -> bool:
    """Wait until `event` is set, `timeout_s` seconds at most; return whether it is. Signals come through."""
    until = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while True:
        if event.wait(max(0.0, min(until - time.monotonic(), PIECE_S))):
            return True
        if time.monotonic() >= until:
            return False


def take_from(source: queue.SimpleQueue[T]) -> T:
    """Wait for the next entry of `source` and return it. Signals come through."""
    while True:
        try:
            return source.get(timeout=PIECE_S)
        except queue.Empty:
            continue
