"""An app of Textual that tells its failure as the rest of the program does."""

from __future__ import annotations

from textual.app import App

from rtsep import unexpected


class PlainlyFailing(App[None]):
    """Ends by an exception with one line and a file, where Textual prints a page with all local variables."""

    def _fatal_error(self) -> None:
        if self._exception:
            unexpected.tell(self._exception, "the view")
        self._close_messages_no_wait()
