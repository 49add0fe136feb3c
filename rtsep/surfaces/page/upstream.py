"""A connection of the page's server to the session, on the event loop."""

from __future__ import annotations

import asyncio
import contextlib

from rtsep.errors import SessionError
from rtsep.realtime.wire import WireError, encode
from rtsep.surfaces.remote.messages import ANSWERS, VERSION, AnyAnswer, Hello, Refused, Request
from rtsep.surfaces.remote.place import connect

_MAX_ANSWER = 1 << 22  # bytes
PATIENCE_S = 10.0


class Upstream:
    """Messages to the session and from it. A context manager."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, name: str) -> Upstream:
        """Connect to the session `name`. Raise `SessionError`."""
        try:
            sock = await asyncio.to_thread(connect, name)
            if sock is None:
                raise SessionError(f"no session '{name}' plays")
            reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_MAX_ANSWER)
        except OSError as error:
            raise SessionError(f"session '{name}': cannot attach: {error.strerror}") from None
        self = cls(reader, writer)
        try:
            async with asyncio.timeout(PATIENCE_S):
                hello = await self.receive()
        except TimeoutError:
            self.close()
            raise SessionError(f"session '{name}' does not answer") from None
        if isinstance(hello, Refused):
            self.close()
            raise SessionError(hello.why)
        if not isinstance(hello, Hello) or hello.version != VERSION:
            self.close()
            raise SessionError(f"session '{name}' is of another version of rtsep; start it again")
        return self

    async def receive(self) -> AnyAnswer:
        """Return the next message. Raise `SessionError` if the session has ended."""
        try:
            line = await self._reader.readline()
            if not line:
                raise SessionError("the session has gone")
            return ANSWERS.decode(line)
        except (OSError, ValueError) as error:
            why = "sent what is no message" if isinstance(error, WireError) else "has gone"
            raise SessionError(f"the session {why}") from None

    async def send(self, request: Request) -> None:
        """Send a request, and wait until the session reads it. Raise `SessionError`."""
        try:
            self._writer.write(encode(request).encode())
            await self._writer.drain()
        except OSError:
            raise SessionError("the session has gone") from None

    def close(self) -> None:
        """Detach from the session."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.close()

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
