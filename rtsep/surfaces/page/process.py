"""The page's server in a process of its own: what it does costs the session nothing.

Reads one line of `Task` from standard input, writes lines of `EVENTS` to standard output, and ends when
standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading

from rtsep.realtime.wire import Message, Wire, encode

GENTLE = 5
"""Added to the niceness: a page is less urgent than sound."""


class Task(Message, frozen=True):
    """What is to be served, and where."""

    session: str
    turning: str  # the keys
    reading: str
    host: str
    lan: bool
    port: int | None
    fresh: bool


class Serving(Message, frozen=True):
    """Pages are served from now on."""

    port: int


class Failed(Message, frozen=True):
    """Nothing can be served."""

    why: str


class Tell(Message, frozen=True):
    """A line for the user."""

    line: str


TASKS: Wire[Task] = Wire(Task)
EVENTS: Wire[Serving | Failed | Tell] = Wire(Serving | Failed | Tell)


def _tell(event: Serving | Failed | Tell) -> None:
    with contextlib.suppress(OSError):  # our parent has gone: standard input ends as well
        sys.stdout.write(encode(event))
        sys.stdout.flush()


def main() -> int:
    """Serve until standard input ends."""
    from rtsep.surfaces.page.address import Where, lan_address, listen, url
    from rtsep.surfaces.page.keys import Keys
    from rtsep.surfaces.page.server import PageServer, Served

    task = TASKS.decode(sys.stdin.readline())
    if hasattr(os, "nice"):
        os.nice(GENTLE)
    try:
        sock = listen(Where(task.lan, task.port))
    except OSError as error:
        port = f"port {task.port}" if task.port else "every port"
        _tell(
            Failed(
                f"{port} is taken by another program ({error.strerror}); name another one, as in --page :8600"
            )
        )
        return 0
    port = sock.getsockname()[1]
    phone = url(lan_address(), port, task.turning) if task.lan else ""
    served = Served(task.session, Keys(task.turning, task.reading), phone, task.fresh)
    server = PageServer(served, sock, lambda line: _tell(Tell(line)))

    def end_with_parent() -> None:
        sys.stdin.read()
        server.stop()

    threading.Thread(target=end_with_parent, name="page-end", daemon=True).start()
    _tell(Serving(port))
    asyncio.run(server.run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
