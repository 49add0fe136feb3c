"""Waits that a signal interrupts, on every system and at every moment.

Python records a signal at once and runs its handler on the main thread, as soon as that runs Python code
again. A wait for a lock does not always return for it. On Windows it never does. Elsewhere it does not if
another thread received the signal, or if the signal came between Python's last check and the wait. The second
case is rare on a quiet machine; on a busy one it affected three of some thirty starts with an immediate
interrupt. Therefore the main thread waits in pieces.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from typing import TypeVar

T = TypeVar("T")

PIECE_S = 0.1
"""Length of a piece in seconds: the maximum delay of a signal handler."""


def wait_for(event: threading.Event, timeout_s: float | None = None) -> bool:
    """Wait until `event` is set, at most `timeout_s` seconds; return whether it is. Signals interrupt it."""
    until = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while True:
        if event.wait(max(0.0, min(until - time.monotonic(), PIECE_S))):
            return True
        if time.monotonic() >= until:
            return False


def take_from(source: queue.SimpleQueue[T]) -> T:
    """Wait for the next entry of `source` and return it. Signals interrupt it."""
    while True:
        try:
            return source.get(timeout=PIECE_S)
        except queue.Empty:
            continue
