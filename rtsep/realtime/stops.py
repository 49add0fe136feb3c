"""Stops of the whole process, by Ctrl-Z or of a container. Then no device is silent, and no process hangs."""

from __future__ import annotations

import time

STOP_NS = 500_000_000
STOP_S = STOP_NS * 1e-9
"""A thread that looks many times a second, and has not for so long, stood still."""


class Stops:
    """Tells one thread, which looks all the time, when it stood still."""

    def __init__(self) -> None:
        self._looked = time.monotonic()

    def look(self) -> float:
        """Return for how many seconds the thread has stood still since its last look; mostly 0."""
        before, self._looked = self._looked, time.monotonic()
        stood = self._looked - before
        return stood if stood >= STOP_S else 0.0
