"""Textual app that reports its failure like the rest of the program."""

from __future__ import annotations

from textual.app import App

from rtsep import unexpected


class PlainlyFailing(App[None]):
    """Ends after an exception with one line and a file; Textual would print all local variables."""

    def _fatal_error(self) -> None:
        if self._exception:
            unexpected.report(self._exception, "the view")
        self._close_messages_no_wait()
