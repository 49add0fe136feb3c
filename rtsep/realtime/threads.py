"""Start of threads under a limit of the user or of the machine (`ulimit -u`, systemd's TasksMax)."""

from __future__ import annotations

import threading

from rtsep.errors import NoThreadError


def start(thread: threading.Thread) -> None:
    """Start `thread`; raise `NoThreadError` if the limit of threads is reached."""
    try:
        thread.start()
    except RuntimeError:
        if thread.ident is not None:  # it already runs: a defect of the caller
            raise
        raise NoThreadError from None
