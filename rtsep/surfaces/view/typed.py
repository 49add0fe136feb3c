"""Keys from a terminal: Escape and a following key are two keys, however fast they come.

A terminal sends the same bytes for Alt and a letter as for Escape and that letter. The view uses no Alt keys.
Textual would convert Escape and b to ctrl+left, and lose the Escape before a comma.
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
"""Characters that form a terminal's sequence together with a preceding Escape."""


class Keyboard(XTermParser):
    """Textual's parser, except for Escape before a key."""

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
        """Stop waiting for the rest of a sequence after Escape."""
        if self._timeout_time is not None:
            self._timeout_time = 0.0
            yield from self.tick()


def with_keyboard(driver: type[Driver]) -> type[Driver]:
    """Make Textual's `driver` read keys in this way; return it."""
    module = sys.modules[driver.__module__]
    if getattr(module, "XTermParser", None) is XTermParser:
        module.XTermParser = Keyboard  # type: ignore[attr-defined]
    return driver
