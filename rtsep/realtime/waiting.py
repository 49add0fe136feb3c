"""Waiting that a signal interrupts, on Windows as well."""

from __future__ import annotations

import math
import sys
import threading
import time

_PIECE_S = 0.1 if sys.platform == "win32" else math.inf
"""The longest wait for an event on which Python runs signal handlers only after the wait."""


def wait_for(event: threading.Event, timeout_s: float | None = None) -> bool:
    """Wait until `event` is set, `timeout_s` seconds at most; return whether it is. Signals come through."""
    until = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while True:
        piece = min(until - time.monotonic(), _PIECE_S)
        if event.wait(None if math.isinf(piece) else max(0.0, piece)):
            return True
        if time.monotonic() >= until:
            return False
