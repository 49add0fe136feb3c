"""A live session for a benchmark: playing when the `with` begins, gone when it ends, whatever happens."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

from rtsep.controls import Controls
from rtsep.errors import DeviceError
from rtsep.model.package import ModelPackage
from rtsep.session.options import LiveOptions
from rtsep.session.run_loop import LiveSession

_LOOK_EVERY_S = 0.02


class Playing:
    """A session that plays on a thread of its own."""

    def __init__(self, session: LiveSession) -> None:
        self.session = session
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)

    def _run(self) -> None:
        try:
            self.session.run()
        except BaseException as error:  # for whoever measures
            self._failure = error

    def start(self) -> None:
        """Return when it plays; raises what keeps it from that."""
        self._thread.start()
        while self.session.state == "starting" and self._thread.is_alive():
            time.sleep(_LOOK_EVERY_S)
        self.check()

    @property
    def over(self) -> bool:
        """Whether it has ended; raises what has ended it before its time."""
        if self._failure:
            raise self._failure
        return not self._thread.is_alive()

    def check(self) -> None:
        """Raise what has ended it, or `DeviceError`, where it does not play any more."""
        if self.over:
            raise DeviceError("the session has ended before it was measured; try again")

    def wait(self, seconds: float) -> None:
        """Let it play for so long; raises as `check` does."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, 0.25))
        self.check()

    def stop(self) -> None:
        """End it."""
        self.session.end()
        if self._thread.ident:
            self._thread.join()


@contextlib.contextmanager
def playing(package: ModelPackage, options: LiveOptions, controls: Controls) -> Iterator[Playing]:
    """Play; what the session has to say goes to standard error. Raises `RtsepError` where it cannot."""
    live = LiveSession(package, options, controls, say)
    player = Playing(live)
    try:
        live.start_model()
        player.start()
        yield player
    finally:
        player.stop()
        live.close()


def say(line: str) -> None:
    """Print what is no result."""
    print(f"rtsep: {line}", file=sys.stderr, flush=True)
