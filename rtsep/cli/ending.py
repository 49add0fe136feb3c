"""How a session that a terminal shows is ended: by Ctrl-C, by `kill`, by the terminal's end."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

from rtsep.session.api import Session


class Ending:
    """What Ctrl-C, a kill and a window that is closed do; under `nohup` the last one does nothing.

    Until the session is started they interrupt what is waited for, once; from then on they end it in order.
    """

    def __init__(self) -> None:
        """Take the signals, from now on; call it on the main thread."""
        self._session: Session | None = None
        self.interrupted = False  # before it played
        signals = [signal.SIGINT, signal.SIGTERM]
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signals.append(signal.SIGHUP)
        for each in signals:
            signal.signal(each, self._take)

    def _take(self, *_: object) -> None:
        before, session = self.interrupted, self._session
        if session is None or session.state == "starting":
            self.interrupted = True  # never unsaid: a second signal may end the session while we look
        if session:
            session.end()
        elif not before:  # else it is being cleared away
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def in_order(self, session: Session) -> Iterator[None]:
        """End `session` from now on, which plays within; `KeyboardInterrupt` if it has not played yet."""
        self._session = session
        yield
        if self.interrupted:
            raise KeyboardInterrupt
