"""The process of the OSC server. `rtsep.surfaces.server_process` describes its input and output."""

from __future__ import annotations

import logging
import socket
import sys

from rtsep.errors import NoThreadError
from rtsep.realtime.wire import Message, Wire
from rtsep.surfaces.osc.address import Where, bind
from rtsep.surfaces.server_process import Failed, Serving, end_with_parent, send_event


class Task(Message, frozen=True):
    """Session and address to serve."""

    session: str
    host: str
    port: int


TASKS: Wire[Task] = Wire(Task)


def main() -> int:
    """Serve until standard input closes."""
    from rtsep.surfaces.osc.surface import Surface

    task = TASKS.decode(sys.stdin.readline())
    try:
        sock = bind(Where(task.host, task.port))
    except OSError as error:
        remedy = "name a computer that exists" if isinstance(error, socket.gaierror) else "name another port"
        send_event(Failed(f"{task.host}:{task.port} cannot be had ({error.strerror}); {remedy}"))
        return 0
    logging.disable()  # python-osc logs each invalid packet: strangers could write to the terminal
    surface = Surface(task.session, sock)
    end_with_parent("osc-end", surface.stop)
    send_event(Serving(sock.getsockname()[1]))
    try:
        surface.run()
    except NoThreadError as error:
        send_event(Failed(str(error)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
