"""Access control: checked for each request before any other code."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rtsep.surfaces.page.address import is_ours
from rtsep.surfaces.server_process import is_near

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self' ws://{host}; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

ASK_WITHIN_S = 10.0
"""A connection that asks for nothing for so long is cut: many of them would leave no room for others."""

MAX_PER_PEER, MAX_CONNECTIONS = 24, 128


class AccessControl:
    """Lets requests of the local network for this server pass, and adds the headers that browsers obey."""

    def __init__(self, app: ASGIApp, port: int, names: frozenset[str]) -> None:
        """`port` and `names` are those of this server."""
        self._app, self._port, self._names = app, port, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._admits(scope, headers, host):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await PlainTextResponse("not for you\n", 403)(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = MutableHeaders(scope=message)
                there.update(_HEADERS)
                there["Content-Security-Policy"] = _POLICY.format(host=host)
                there.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _admits(self, scope: Scope, headers: Headers, host: str) -> bool:
        client = scope.get("client")
        if not client or not is_near(client[0]) or not is_ours(host, self._port, self._names):
            return False
        origin = headers.get("origin")
        if origin is None:  # browsers name it whenever something could be changed
            return scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        return origin == f"http://{host}"


class ConnectionLimiter:
    """Cuts connections that only take up room; runs beside a server of uvicorn."""

    def __init__(self, connections: set[Any]) -> None:
        """`connections` is uvicorn's own set of its protocols."""
        self._connections = connections
        self._since: dict[Any, float] = {}

    async def run(self) -> None:
        """Look again and again; for ever."""
        while True:
            await asyncio.sleep(1.0)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Cut those that have asked for nothing for too long, and what one peer has too many of."""
        here = set(self._connections)
        self._since = {each: self._since.get(each, now) for each in here}
        peers: dict[str, int] = {}
        for each in sorted(here, key=lambda one: self._since[one]):
            transport = each.transport
            peer = (transport.get_extra_info("peername") or ("",))[0]
            peers[peer] = peers.get(peer, 0) + 1
            if _is_served(each):
                self._since[each] = now
            if peers[peer] > MAX_PER_PEER or now - self._since[each] > ASK_WITHIN_S:
                transport.abort()


def _is_served(protocol: Any) -> bool:
    """Return whether a connection has asked for something that is being answered, or is a page."""
    cycle = getattr(protocol, "cycle", None)
    return bool(getattr(protocol, "handshake_complete", False) or (cycle and not cycle.response_complete))
