"""Choices allowed to a page: entries of the session's lists, and files dropped on a page."""

from __future__ import annotations

from pathlib import Path

from rtsep.errors import UsageError
from rtsep.surfaces.remote.messages import Choices, Request, SwitchDevice, SwitchModel


class Offers:
    """Names offered to pages; a page may name no other path on the disk."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def note(self, choices: Choices) -> None:
        """Add the names of a list that is sent to a page."""
        self._names.update(choice.name for choice in choices.choices)

    def add(self, file: Path) -> None:
        """Add a file dropped on a page."""
        self._names.add(str(file))

    def check(self, request: Request) -> None:
        """Raise `UsageError` for a request with a name from no list."""
        names: list[str | None] = []
        if isinstance(request, SwitchModel):
            names = [request.name]
        elif isinstance(request, SwitchDevice):
            names = [request.input, request.output]
        for name in names:
            if name is not None and name not in self._names:
                raise UsageError(f"'{name[:60]}' is in none of the lists; look at the list again")
