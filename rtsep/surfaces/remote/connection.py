"""A client's connection on the server: lines in, lines out, without blocking."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator

from rtsep.errors import UsageError
from rtsep.realtime.wire import Message, WireError, encode
from rtsep.surfaces.remote.messages import MAX_LINE, REQUESTS, AnyRequest, Refused
from rtsep.surfaces.remote.request_handler import Pictures

MAX_UNSENT = 1 << 18
"""Limit of unread bytes: no further request is read until the client has caught up."""

MAX_WORKING = 8
"""Maximum number of requests of one connection in progress."""

_READ_AT_ONCE = 1 << 15


class Connection:
    """Non-blocking socket with its received and unsent data."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.over = False  # nothing more can be read or sent
        self._leaving = False  # nothing more is read; over once all is sent
        self._unsent = bytearray()
        self._come = bytearray()
        self.working = 0  # requests that are not answered yet
        self.period_s: float | None = None  # between two states; None: it has not subscribed
        self.due = 0.0  # monotonic time of the next state
        self.pictures: Pictures | None = None
        self.sent_lines = 0  # lines for the user that it has had

    @property
    def idle(self) -> bool:
        """Return whether everything has been sent."""
        return not self._unsent

    @property
    def reads(self) -> bool:
        """Return whether its requests are to be read now."""
        return self._accepts_requests and len(self._come) < 2 * MAX_LINE

    @property
    def _accepts_requests(self) -> bool:
        return not (self.over or self._leaving) and len(self._unsent) < MAX_UNSENT

    def close(self) -> None:
        """Close the socket."""
        self.over = True
        self.sock.close()

    def send(self, message: Message) -> None:
        """Send `message`, now or as soon as possible."""
        self.send_line(encode(message).encode())

    def send_line(self, line: bytes) -> None:
        """Send an encoded message."""
        self._unsent += line
        self.flush()

    def flush(self) -> None:
        """Send as much as possible."""
        try:
            while self._unsent and not self.over:
                del self._unsent[: self.sock.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self.over = True
        self.over |= self._leaving and not self._unsent

    def receive(self) -> None:
        """Read the received data."""
        try:
            data = self.sock.recv(_READ_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.over |= not data
        self._come += data

    def requests(self) -> Iterator[AnyRequest]:
        """Yield the received requests while their answers are read; refuse invalid ones."""
        while self._accepts_requests:
            line, end, rest = self._come.partition(b"\n")
            if len(line) >= MAX_LINE:
                self._leaving = True
                self._refuse(b"", f"a request of more than {MAX_LINE} bytes; this connection is closed")
                return
            if not end:
                return
            self._come = rest
            if not line.strip():
                continue
            try:
                request = REQUESTS.decode(bytes(line))
            except WireError as error:
                self._refuse(bytes(line), str(error))
            else:
                yield request

    def _refuse(self, line: bytes, why: str) -> None:
        id = 0
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict) and type(found.get("id")) is int:
                id = found["id"]
        self.send(Refused(id, why.replace("\n", " "), UsageError.exit_code))
