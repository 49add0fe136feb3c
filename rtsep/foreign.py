"""Guards around foreign libraries: against their chatter on standard error, and against their hanging."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send file descriptor 2 nowhere: ALSA and JACK name every device that is not there."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


CLOSE_PATIENCE_S = 2.0
"""A stream whose driver or server has died may never close: after this long it is left behind."""

_left_behind: list[object] = []


def close_or_leave(stream: object, close: Callable[[], None]) -> bool:
    """Run `close`; return False where it does not come back, and `stream` had to be left behind.

    It may call back yet, so that `stream`, and the memory that it holds, stays for good.
    """

    def shut() -> None:
        with contextlib.suppress(Exception):
            close()

    closed = within(CLOSE_PATIENCE_S, shut)
    if not closed:
        _left_behind.append(stream)
    return closed


def within(seconds: float, action: Callable[[], None]) -> bool:
    """Run `action` on a thread of its own; return whether it came back within `seconds`."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
