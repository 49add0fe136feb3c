"""Output of a session's messages, with a view and without; needs no Textual, which is slow to load."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator

from rtsep.files.names import one_line
from rtsep.realtime.foreign_calls import aloud
from rtsep.standard_streams import notify

LINES_KEPT = 500


def can_show() -> bool:
    """Return whether there is a terminal that can show a view and read keys."""
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return all(stream is not None and stream.isatty() for stream in streams) and (
        os.environ.get("TERM") != "dumb"
    )


class Lines:
    """Prints messages on standard error or, during a view, in the view.

    The view also gets earlier messages, and its messages stay readable: they are printed after the view has
    closed.
    """

    def __init__(self) -> None:
        self._notify_there: Callable[[str], None] | None = None
        self._before: deque[str] = deque(maxlen=LINES_KEPT)
        self._kept: deque[str] = deque(maxlen=LINES_KEPT)
        self._listeners: list[Callable[[str], None]] = []

    def __call__(self, line: str) -> None:
        """Print `line`; any thread may call this. Names in it, as of a program, may not move the cursor."""
        line = one_line(line)
        for listener in self._listeners:
            listener(line)
        there = self._notify_there
        if there is None:
            self._before.append(line)
            self._print(line)
        else:
            self._kept.append(line)
            there(line)

    def also(self, listener: Callable[[str], None]) -> None:
        """Also pass each line to `listener`, including earlier ones."""
        for line in self._before:
            listener(line)
        self._listeners.append(listener)

    def _print(self, line: str) -> None:
        # A reader that is gone, or does not read, must not end the audio or delay the thread that prints.
        with aloud():
            notify(line)

    @contextlib.contextmanager
    def on(self, notify: Callable[[str], None], unread: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Pass lines to `notify` inside the block, including earlier ones; to standard error afterwards.

        Lines that are `unread` are not printed: printing to a stalled terminal would block.
        """
        for line in self._before:
            notify(line)
        self._notify_there = notify
        try:
            yield
        finally:
            self._notify_there = None
            while self._kept and not unread():
                self._print(self._kept.popleft())
