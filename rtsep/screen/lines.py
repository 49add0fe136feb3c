"""Where a session says its lines, with a view and without; needs no Textual, which is slow to load."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator

LINES_KEPT = 500


def can_show() -> bool:
    """Whether there is a terminal to show a view on and to take keys from."""
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return all(stream is not None and stream.isatty() for stream in streams) and (
        os.environ.get("TERM") != "dumb"
    )


class Lines:
    """Says lines on standard error, or, while there is a view, there.

    What was said to the view stays readable: it is printed once the view has closed.
    """

    def __init__(self) -> None:
        self._say_there: Callable[[str], None] | None = None
        self._kept: deque[str] = deque(maxlen=LINES_KEPT)

    def __call__(self, line: str) -> None:
        """Say `line`; from any thread."""
        there = self._say_there
        if there is None:
            print(f"rtsep: {line}", file=sys.stderr, flush=True)
        else:
            self._kept.append(line)
            there(line)

    @contextlib.contextmanager
    def on(self, say: Callable[[str], None]) -> Iterator[None]:
        """Say lines by `say` meanwhile, and print them behind it."""
        self._say_there = say
        try:
            yield
        finally:
            self._say_there = None
            while self._kept:
                self(self._kept.popleft())
