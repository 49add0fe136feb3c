"""Keys as a terminal sends them: Escape and a key behind it are two keys, however fast they came.

A terminal sends the same bytes for Alt and a letter as for Escape and that letter. Nothing here is on Alt.
Textual would make ctrl+left of Escape and b, and lose the Escape before a comma.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from textual._xterm_parser import XTermParser
from textual.driver import Driver
from textual.message import Message

ESCAPE = "\x1b"
_SEQUENCES = "[OPX^_]\\" + ESCAPE
"""What makes a sequence of the terminal's own of an Escape before it."""


class Keyboard(XTermParser):
    """Textual's parser, but for Escape before a key."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._behind_escape = False

    def feed(self, data: str) -> Iterable[Message]:
        """Return the keys and answers in `data`."""
        start = 0
        for index, character in enumerate(data):
            if self._behind_escape and character not in _SEQUENCES:
                if index > start:
                    yield from super().feed(data[start:index])
                start = index
                yield from self._end_waiting()
            self._behind_escape = character == ESCAPE
        if start < len(data) or not data:
            yield from super().feed(data[start:])

    def _end_waiting(self) -> Iterable[Message]:
        """Wait no longer for what may follow the Escape."""
        if self._timeout_time is not None:
            self._timeout_time = 0.0
            yield from self.tick()


def with_keyboard(driver: type[Driver]) -> type[Driver]:
    """Let Textual's `driver` read keys so; return it."""
    module = sys.modules[driver.__module__]
    if getattr(module, "XTermParser", None) is XTermParser:
        module.XTermParser = Keyboard  # type: ignore[attr-defined]
    return driver
