"""The client side of a session's socket: one connection, requests in order, answers as they come."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from typing import TypeVar

from rtsep.errors import RtsepError, SessionError, suggest
from rtsep.realtime.wire import WireError, encode
from rtsep.surfaces.remote.messages import ANSWERS, VERSION, AnyAnswer, Hello, Refused, Request
from rtsep.surfaces.remote.place import connect, playing, supported

PATIENCE_S = 10.0
"""Time limit in seconds for requests that a session answers at once."""

HOW_TO_START = "start one with 'rtsep live', or 'rtsep service install'"

R = TypeVar("R", bound=AnyAnswer)

_CODES = {kind.exit_code: kind for kind in RtsepError.__subclasses__()}


class Link:
    """Connection to a session. One thread sends and one receives, or the same thread does both."""

    def __init__(self, name: str | None = None) -> None:
        """Connect to the session `name` (None: the only one). Raise `SessionError` or `UsageError`."""
        self._sock = _connected(name)
        self._come = bytearray()
        self._ids = itertools.count(1)
        self.name = name or ""
        hello = self._of_kind(self.receive(PATIENCE_S), Hello)
        if hello.version != VERSION:
            self.close()
            raise SessionError(
                f"session '{hello.session}' is {hello.program} and speaks version {hello.version}, this "
                f"program version {VERSION}; use the same rtsep for both"
            )
        self.name = hello.session

    def new_id(self) -> int:
        """Return an id for the next request."""
        return next(self._ids)

    def send(self, request: Request) -> None:
        """Send a request. Raise `SessionError` if the session has ended."""
        try:
            self._sock.settimeout(PATIENCE_S)
            self._sock.sendall(encode(request).encode())
        except OSError:
            raise self._gone() from None

    def receive(self, patience_s: float | None = None) -> AnyAnswer:
        """Return the next message. Raise `SessionError` on timeout, or if the session has ended."""
        until = None if patience_s is None else time.monotonic() + patience_s
        while b"\n" not in self._come:
            self._come += self._more(until)
        line, _, self._come = self._come.partition(b"\n")
        try:
            return ANSWERS.decode(bytes(line))
        except WireError as error:
            raise SessionError(f"session '{self.name}': {error}; use the same rtsep for both") from None

    def ask(self, request: Request, kind: type[R], patience_s: float | None = PATIENCE_S) -> R:
        """Send a request with an `id` of `new_id`, and return its answer, a `kind`.

        Raise the error of a refusal, `SessionError` if the session has ended.
        """
        self.send(request)
        while True:
            answer = self.receive(patience_s)
            if getattr(answer, "id", None) == request.id:
                return self._of_kind(answer, kind)

    def shut(self) -> None:
        """End the connection for a thread that receives."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Detach from the session, which continues."""
        self._sock.close()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _of_kind(self, answer: AnyAnswer, kind: type[R]) -> R:
        if isinstance(answer, Refused):
            raise error_of(answer)
        if not isinstance(answer, kind):
            raise SessionError(
                f"session '{self.name}' has answered something else; use the same rtsep for both"
            )
        return answer

    def _more(self, until: float | None) -> bytes:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            raise self._silent()
        try:
            self._sock.settimeout(left)
            data = self._sock.recv(1 << 16)
        except TimeoutError:
            raise self._silent() from None
        except OSError:
            data = b""
        if not data:
            raise self._gone()
        return data

    def _gone(self) -> SessionError:
        return SessionError(f"session '{self.name}' has gone; {HOW_TO_START}")

    def _silent(self) -> SessionError:
        name = f"session '{self.name}'" if self.name else "the session"
        return SessionError(
            f"{name} does not answer; it may be starting: try again in a moment; or it is stopped (Ctrl-Z): "
            "'fg' in its terminal continues it"
        )


def error_of(refused: Refused) -> RtsepError:
    """Return the error of a refused request."""
    return _CODES.get(refused.code, RtsepError)(refused.why)


def _connected(name: str | None) -> socket.socket:
    if not supported():
        raise SessionError("sessions can be reached on systems with Unix sockets only")
    here = playing()
    if name is None:
        if not here:
            raise SessionError(f"no session plays here; {HOW_TO_START}")
        if len(here) > 1:
            listed = ", ".join(f"'{each}'" for each in here)
            raise SessionError(f"{len(here)} sessions play: {listed}; choose one with --session NAME")
        name = here[0]
    try:
        if found := connect(name):
            return found
    except OSError as error:
        raise SessionError(f"session '{name}': cannot attach: {error.strerror}") from None
    others = f"; playing: {', '.join(here)}" if here else f"; {HOW_TO_START}"
    raise SessionError(f"no session '{name}' plays here{suggest(name, here) or others}")
