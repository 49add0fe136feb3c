"""The page's server in its own process, so that it does not slow down the session.

`rtsep.surfaces.server_process` describes its input and output.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from rtsep.realtime.wire import Message, Wire
from rtsep.surfaces.server_process import Failed, Line, Serving, end_with_parent, send_event

GENTLE = 5
"""Increase of the niceness: a page is less urgent than audio."""


class Task(Message, frozen=True):
    """Session, address and keys to serve."""

    session: str
    turning: str  # the keys
    reading: str
    lan: bool
    port: int | None
    fresh: bool
    once: str  # a word that gives the key once; "": none


TASKS: Wire[Task] = Wire(Task)


def main() -> int:
    """Serve until standard input closes."""
    from rtsep.surfaces.page.address import Where, listen
    from rtsep.surfaces.page.keys import Keys
    from rtsep.surfaces.page.server import PageServer, Served

    task = TASKS.decode(sys.stdin.readline())
    logging.disable()  # asyncio logs too many connections: strangers would write on the terminal
    if hasattr(os, "nice"):
        os.nice(GENTLE)
    try:
        sock = listen(Where(task.lan, task.port))
    except OSError as error:
        port = f"port {task.port}" if task.port else "every port"
        send_event(Failed(f"{port} cannot be had ({error.strerror}); name another one, as in local:8600"))
        return 0
    port = sock.getsockname()[1]
    served = Served(
        session=task.session,
        keys=Keys(task.turning, task.reading),
        lan=task.lan,
        fresh=task.fresh,
        once=task.once,
    )
    server = PageServer(served, sock, lambda line: send_event(Line(line)))
    end_with_parent("page-end", server.stop)
    send_event(Serving(port))
    asyncio.run(server.run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
