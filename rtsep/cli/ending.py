"""End of a command: by Ctrl-C, by `kill`, or when the terminal closes."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

from rtsep.session.api import Session


class Ending:
    """Reaction to Ctrl-C, SIGTERM and the closing of the terminal (under `nohup`, none to the last).

    Before the session starts, the first signal interrupts the wait; afterwards, a signal ends the session in
    order.
    """

    def __init__(self) -> None:
        """Install the signal handlers; call this on the main thread."""
        self._session: Session | None = None
        self.interrupted = False  # before the session started
        signals = [signal.SIGINT, signal.SIGTERM]
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signals.append(signal.SIGHUP)
        for each in signals:
            signal.signal(each, self._take)

    def _take(self, *_: object) -> None:
        before, session = self.interrupted, self._session
        if session is None or session.state == "starting":
            self.interrupted = True  # never reset: a second signal can end the session while this is read
        if session:
            session.end()
        elif not before:  # else the session is being closed
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def in_order(self, session: Session) -> Iterator[None]:
        """Let signals end `session` inside the block; raise `KeyboardInterrupt` if it never started."""
        self._session = session
        yield
        if self.interrupted:
            raise KeyboardInterrupt


@contextlib.contextmanager
def interrupted_by_all() -> Iterator[None]:
    """Let SIGTERM and the closing of the terminal raise `KeyboardInterrupt` inside the block, as Ctrl-C does.

    On other threads than the main one, which receives no signals, the block just runs.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for each in [signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else [])]:
            if signal.getsignal(each) is signal.SIG_DFL:
                before[each] = signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
