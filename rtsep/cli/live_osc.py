"""`--osc`: OSC beside a session."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rtsep.errors import OutputError, UsageError
from rtsep.surfaces.osc.address import Where, parse_where
from rtsep.surfaces.osc.launch import osc
from rtsep.surfaces.remote.place import supported
from rtsep.surfaces.remote.server import Server


def osc_of(arguments: argparse.Namespace) -> Where | None:
    """Return where OSC is to be received, None for nowhere. Raises `UsageError`."""
    if arguments.osc is None:
        return None
    if not supported():
        raise UsageError("--osc: this system has no Unix sockets for Python, which OSC needs")
    if not arguments.remote:
        raise UsageError("--osc: it reaches the session as 'rtsep attach' does; leave --no-remote out")
    return parse_where(arguments.osc)


@contextmanager
def receiving_osc(where: Where | None, remote: Server | None, say: Callable[[str], None]) -> Iterator[None]:
    """Receive OSC while it is entered; where that cannot be, `say` why, and the sound goes on."""
    if where is None or remote is None:
        if where:
            say("no OSC: the session cannot be reached (see above)")
        yield
        return
    server = osc(remote.name, where, say)
    try:
        server.start()
        say(f"OSC: receiving on {where.host}:{where.port}")
    except OutputError as error:
        say(str(error))
    try:
        yield
    finally:
        server.close()
