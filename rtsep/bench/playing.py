"""A live session for a benchmark: it plays inside the `with` block, and is always closed after it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from rtsep.controls import Controls
from rtsep.errors import DeviceError
from rtsep.model.package import ModelPackage
from rtsep.session.api import Session
from rtsep.session.options import LiveOptions


class Playing:
    """Session that must play during the measurement."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def check(self) -> None:
        """Raise the error that ended it, or `DeviceError` if it has stopped."""
        self.wait(0.0)

    def wait(self, seconds: float) -> None:
        """Let it play for `seconds`; raise the errors of `check`."""
        if self.session.wait(seconds):
            raise DeviceError("the session ended before the measurement was complete; try again")


@contextlib.contextmanager
def playing(package: ModelPackage, options: LiveOptions, controls: Controls) -> Iterator[Playing]:
    """Play; messages of the session go to standard error. Raise `RtsepError` if it cannot play."""
    with Session.of(options, package, controls, notify) as session:
        yield Playing(session)


def notify(line: str) -> None:
    """Print a message that is not part of the result."""
    print(f"rtsep: {line}", file=sys.stderr, flush=True)
