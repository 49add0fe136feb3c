"""Where a session says its lines, with a view and without; needs no Textual, which is slow to load."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator

from rtsep.realtime.foreign_calls import aloud

LINES_KEPT = 500


def can_show() -> bool:
    """Whether there is a terminal to show a view on and to take keys from."""
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return all(stream is not None and stream.isatty() for stream in streams) and (
        os.environ.get("TERM") != "dumb"
    )


class Lines:
    """Says lines on standard error, or, while there is a view, there.

    The view is told what was said before it, and what was said to it stays readable: it is printed once the
    view has closed.
    """

    def __init__(self) -> None:
        self._say_there: Callable[[str], None] | None = None
        self._before: deque[str] = deque(maxlen=LINES_KEPT)
        self._kept: deque[str] = deque(maxlen=LINES_KEPT)
        self._listeners: list[Callable[[str], None]] = []

    def __call__(self, line: str) -> None:
        """Say `line`; from any thread."""
        for listener in self._listeners:
            listener(line)
        there = self._say_there
        if there is None:
            self._before.append(line)
            self._print(line)
        else:
            self._kept.append(line)
            there(line)

    def also(self, listener: Callable[[str], None]) -> None:
        """Tell `listener` each line as well, from now on and what was said before."""
        for line in self._before:
            listener(line)
        self._listeners.append(listener)

    def _print(self, line: str) -> None:
        # Nobody there: the sound is not to end for that.
        with contextlib.suppress(OSError), aloud():
            print(f"rtsep: {line}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def on(self, say: Callable[[str], None], unread: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Say lines by `say` meanwhile, what was said before too, and print them behind it.

        Unless they were then `unread`: to print to a terminal that has stalled is to wait for it.
        """
        for line in self._before:
            say(line)
        self._say_there = say
        try:
            yield
        finally:
            self._say_there = None
            while self._kept and not unread():
                self._print(self._kept.popleft())
