"""`--osc`: OSC beside a session."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rtsep.errors import OutputError
from rtsep.surfaces.osc.address import Where, parse_where
from rtsep.surfaces.osc.launch import osc
from rtsep.surfaces.remote.server import Server
from rtsep.surfaces.server_process import require_socket


def osc_of(arguments: argparse.Namespace) -> Where | None:
    """Return the address to receive OSC on, None for no OSC. Raise `UsageError` for a bad combination."""
    if arguments.osc is None:
        return None
    require_socket("--osc", "OSC", arguments.remote)
    return parse_where(arguments.osc)


@contextmanager
def receiving_osc(
    where: Where | None, remote: Server | None, notify: Callable[[str], None]
) -> Iterator[None]:
    """Receive OSC inside the block; if that is impossible, report it with `notify`; the audio continues."""
    if where is None or remote is None:
        if where:
            notify("no OSC: the session cannot be reached (see above)")
        yield
        return
    server = osc(remote.name, where, notify)
    try:
        server.start()
        notify(f"OSC: receiving on {where.host}:{where.port}")
    except OutputError as error:
        notify(str(error))
    try:
        yield
    finally:
        server.close()
