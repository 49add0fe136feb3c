"""Dropped engines return their memory in time.

The exception of a refused switch refers to the frames that raised it, and those refer to the engine: a cycle,
which only Python's garbage collector ends. It looks at old objects rarely, and hardly ever beside the hundred
thousands of objects of a compiler. Each engine has a record ring of some 20 MB.
"""

from __future__ import annotations

import gc
import time

from rtsep.realtime.memory import mappings_made

COLLECT_AFTER_S = 2.0
"""Time from the last new engine to the collection: the switch is over by then, and its frames have ended."""


class Garbage:
    """Decides when to collect, on one thread."""

    def __init__(self) -> None:
        self._made = mappings_made()
        self._due_at: float | None = None

    def follow(self) -> None:
        """Collect garbage if engines were made since the last time; this takes some 0.2 s of this thread."""
        made, now = mappings_made(), time.monotonic()
        if made != self._made:
            self._made, self._due_at = made, now + COLLECT_AFTER_S
        elif self._due_at is not None and now >= self._due_at:
            self._due_at = None
            gc.collect()
