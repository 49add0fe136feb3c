"""The server side of a session's socket: one thread that serves all clients and waits for none of them.

It uses only the public commands of the session. Slow requests run on separate threads.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from importlib.metadata import version
from itertools import islice

from rtsep.errors import NoThreadError, RtsepError
from rtsep.realtime.threads import start
from rtsep.realtime.wire import encode
from rtsep.session.api import Session
from rtsep.surfaces.presets import Presets
from rtsep.surfaces.remote.connection import MAX_WORKING, Connection
from rtsep.surfaces.remote.messages import (
    VERSION,
    AnyAnswer,
    AnyRequest,
    Done,
    Hello,
    Lines,
    Refused,
    Subscribe,
)
from rtsep.surfaces.remote.place import Claim, claim
from rtsep.surfaces.remote.request_handler import QUICK, RequestHandler, Teach

MAX_CONNECTIONS = 32
LINES_KEPT = 200
END_PATIENCE_S = 0.5
"""Time for clients to receive the last state, in seconds."""

_IDLE_S = 5.0


class Server:
    """Accepts clients while the session plays. A context manager."""

    def __init__(
        self,
        session: Session,
        claimed: Claim,
        presets: Presets | None = None,
        learn: Teach | None = None,
    ) -> None:
        """Serve `session`, already opened, on the socket of `claimed`, which is closed at the end.

        `learn` assigns the next moved knob to a control; None: there are no controllers.
        """
        self._handler = RequestHandler(session, claimed.name, presets, learn)
        self._claim = claimed
        self._selector = selectors.DefaultSelector()
        self._awake, self._wake = socket.socketpair()
        self._connections: set[Connection] = set()
        self._answers: deque[tuple[Connection, AnyAnswer]] = deque()
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._line_count = 0
        self._leaving = False
        self._thread = threading.Thread(target=self._run, name="remote-control", daemon=True)

    @property
    def name(self) -> str:
        """Return the name of the session for clients."""
        return self._claim.name

    def start(self) -> Server:
        """Start to serve. Raise `NoThreadError`."""
        for sock in (self._claim.socket, self._awake, self._wake):
            sock.setblocking(False)
        self._selector.register(self._claim.socket, selectors.EVENT_READ)
        self._selector.register(self._awake, selectors.EVENT_READ)
        start(self._thread)
        return self

    def notify(self, line: str) -> None:
        """Send a line for the user to subscribed clients; any thread may call this."""
        self._lines.append(line)
        self._line_count += 1
        self._wake_up()

    def close(self) -> None:
        """Send the last state, and end."""
        self._leaving = True
        self._wake_up()
        if self._thread.ident:
            self._thread.join()
        self._claim.close()
        self._selector.close()
        self._awake.close()
        self._wake.close()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- on the thread ---------------------------------------------------------------------------------

    def _wake_up(self) -> None:
        with contextlib.suppress(OSError):  # full: the thread will wake up anyway
            self._wake.send(b"\0")

    def _run(self) -> None:
        while not self._leaving:
            for key, events in self._selector.select(self._pause()):
                if key.fileobj is self._claim.socket:
                    self._accept()
                elif key.fileobj is self._awake:
                    with contextlib.suppress(OSError):
                        self._awake.recv(4096)
                else:
                    if events & selectors.EVENT_WRITE:
                        key.data.flush()
                    if events & selectors.EVENT_READ:
                        key.data.receive()
            for connection in self._connections:
                for request in connection.requests():
                    self._do(connection, request)
            while self._answers:
                connection, answer = self._answers.popleft()
                connection.working -= 1
                connection.send(answer)
            self._push()
            self._tidy()
        self._send_last_state()

    def _pause(self) -> float:
        due = [connection.due for connection in self._connections if self._may_push(connection)]
        # A rate close to 0 is due in more seconds than `select` accepts.
        return min(_IDLE_S, max(0.0, min(due) - time.monotonic())) if due else _IDLE_S

    @staticmethod
    def _may_push(connection: Connection) -> bool:
        return connection.period_s is not None and connection.idle and not connection.over

    def _accept(self) -> None:
        try:
            sock, _ = self._claim.socket.accept()
        except OSError:  # the client has already gone, or there are no file handles left: no reason to end
            time.sleep(0.01)
            return
        connection = Connection(sock)
        if len(self._connections) >= MAX_CONNECTIONS:
            connection.send(
                Refused(
                    0,
                    f"this session already has {MAX_CONNECTIONS} clients; end one of them",
                    RtsepError.exit_code,
                )
            )
            connection.close()
            return
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)
        connection.send(Hello(self.name, f"rtsep {version('rtsep')}"))

    def _do(self, connection: Connection, request: AnyRequest) -> None:
        full = connection.working >= MAX_WORKING
        if isinstance(request, Subscribe) and request.version == VERSION and not (request.picture and full):
            connection.period_s = 1.0 / request.rate if request.rate else None
            connection.due = 0.0
            connection.pictures = None
            if request.picture:  # compiles on a new machine
                self._on_thread(self._make_pictures, connection, request)
            else:
                connection.send(Done(request.id))
        elif isinstance(request, QUICK):
            connection.send(self._handler.answer(request))
        elif full:
            why = f"{MAX_WORKING} of your requests are in progress; wait for their answers"
            connection.send(Refused(request.id, why, RtsepError.exit_code))
        else:
            self._on_thread(self._work, connection, request)

    def _on_thread(
        self, work: Callable[[Connection, AnyRequest], None], connection: Connection, request: AnyRequest
    ) -> None:
        thread = threading.Thread(target=work, args=(connection, request), name="remote-request", daemon=True)
        connection.working += 1
        try:
            start(thread)
        except NoThreadError as error:
            connection.working -= 1
            connection.send(Refused(request.id, str(error), error.exit_code))

    def _make_pictures(self, connection: Connection, request: AnyRequest) -> None:
        connection.pictures = self._handler.pictures()
        self._answers.append((connection, Done(request.id)))
        self._wake_up()

    def _work(self, connection: Connection, request: AnyRequest) -> None:
        self._answers.append((connection, self._handler.answer(request)))
        self._wake_up()

    def _push(self) -> None:
        """Send the newest state to all clients that are due and have received everything before it."""
        now = time.monotonic()
        line = None
        for connection in self._connections:
            if not self._may_push(connection) or connection.due > now:
                continue
            assert connection.period_s
            connection.due = max(connection.due + connection.period_s, now)
            line = line or encode(self._handler.state()).encode()
            self._push_lines(connection)
            if connection.pictures:
                line_too = encode(connection.pictures.next()).encode()
                connection.send_line(line + line_too)
            else:
                connection.send_line(line)

    def _push_lines(self, connection: Connection) -> None:
        line_count = self._line_count
        count = min(line_count - connection.sent_lines, len(self._lines))
        if count > 0:
            lines = list(self._lines)
            connection.send(Lines(list(islice(lines, max(0, len(lines) - count), None))))
        connection.sent_lines = line_count

    def _tidy(self) -> None:
        for connection in [each for each in self._connections if each.over]:
            self._connections.discard(connection)
            self._selector.unregister(connection.sock)
            connection.close()
        for connection in self._connections:
            reads = selectors.EVENT_READ if connection.reads else 0
            wanted = reads | (0 if connection.idle else selectors.EVENT_WRITE)
            if wanted != self._selector.get_key(connection.sock).events:
                self._selector.modify(connection.sock, wanted or selectors.EVENT_WRITE, connection)

    def _send_last_state(self) -> None:
        last = encode(self._handler.state()).encode()
        until = time.monotonic() + END_PATIENCE_S
        for connection in self._connections:
            if connection.period_s is not None:
                self._push_lines(connection)
                connection.send_line(last)
        while any(not c.idle and not c.over for c in self._connections) and time.monotonic() < until:
            for connection in self._connections:
                connection.flush()
            time.sleep(0.01)
        for connection in self._connections:
            connection.close()
        self._connections.clear()


def serve(session: Session, name: str | None = None) -> Server:
    """Let `rtsep attach`, `get`, `set` and `rtsep.attach` reach a running session.

            with rtsep.Session("mic") as session, rtsep.serve(session, "stage"):
                session.wait()

    `name` is its name for clients (None: "default", with a number if that is taken). Raise `UsageError` for a
    name that is taken, `OutputError` if no socket can be created.
    """
    return Server(session, claim(name))
