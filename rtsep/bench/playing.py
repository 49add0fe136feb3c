"""A live session for a benchmark: playing when the `with` begins, gone when it ends, whatever happens."""

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
    """A session that is to play for as long as it is measured."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def check(self) -> None:
        """Raise what has ended it, or `DeviceError`, where it does not play any more."""
        self.wait(0.0)

    def wait(self, seconds: float) -> None:
        """Let it play for so long; raises as `check` does."""
        if self.session.wait(seconds):
            raise DeviceError("the session has ended before it was measured; try again")


@contextlib.contextmanager
def playing(package: ModelPackage, options: LiveOptions, controls: Controls) -> Iterator[Playing]:
    """Play; what the session has to say goes to standard error. Raises `RtsepError` where it cannot."""
    with Session.of(options, package, controls, say) as session:
        yield Playing(session)


def say(line: str) -> None:
    """Print what is no result."""
    print(f"rtsep: {line}", file=sys.stderr, flush=True)
