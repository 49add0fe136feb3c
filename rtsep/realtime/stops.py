"""Stops of the whole process (Ctrl-Z, a paused container), which are no faults of devices or processes."""

from __future__ import annotations

import time

STOP_NS = 500_000_000
STOP_S = STOP_NS * 1e-9
"""Gap in seconds between frequent checks of a thread that means a stop."""


class Stops:
    """Detects, for one thread that checks continually, when the process stood still."""

    def __init__(self) -> None:
        self._looked = time.monotonic()

    def look(self) -> float:
        """Return the seconds for which the thread stood still since its last check; mostly 0."""
        before, self._looked = self._looked, time.monotonic()
        stood = self._looked - before
        return stood if stood >= STOP_S else 0.0
