"""A page as the tests need it: the other end of the WebSocket, and of plain requests."""

from __future__ import annotations

import contextlib
import http.client
import json
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

PATIENCE_S = 60.0


class Browser:
    """A WebSocket to the server; takes states as a page does, where `sees`."""

    def __init__(self, port, key, sees=True):
        """Connect; raises `websockets.exceptions.InvalidStatus` where that is refused."""
        self.sees = sees
        self._leaving = contextlib.ExitStack()
        self.socket = self._leaving.enter_context(
            connect(
                f"ws://127.0.0.1:{port}/session?key={key}",
                origin=f"http://127.0.0.1:{port}",
                open_timeout=PATIENCE_S,
                compression=None,
            )
        )
        self.welcome = self.next()
        self.id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._leaving.close()

    def send(self, message):
        self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def next(self):
        """Return the next message."""
        message = json.loads(self.socket.recv(PATIENCE_S))
        if message["kind"] == "state" and message["id"] == 0 and self.sees:
            self.send({"kind": "seen"})
        return message

    def until(self, wanted):
        """Return the first message that is `wanted`."""
        over = time.monotonic() + PATIENCE_S
        while not wanted(message := self.next()):
            assert time.monotonic() < over, f"such a message has not come: {message}"
        return message

    def of_kind(self, kind):
        return self.until(lambda message: message["kind"] == kind)

    def ask(self, kind, **fields):
        """Return the answer to a request."""
        self.id += 1
        self.send({"kind": kind, "id": self.id, **fields})
        return self.until(lambda message: message.get("id") == self.id)

    def closed(self):
        """Return the code that the server ends with."""
        over = time.monotonic() + PATIENCE_S
        try:
            while time.monotonic() < over:
                self.next()
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else None
        raise AssertionError("the server has not closed")


def handshake(port, key, origin, host=None):
    """Return the status of a WebSocket's first request, as a browser sends it."""
    headers = {
        "Host": host or f"127.0.0.1:{port}", "Origin": origin, "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Version": "13",
    }  # fmt: skip
    return request(port, "GET", f"/session?key={key}", **headers)[0]


def request(port, method, path, key=None, body=None, **headers):
    """Return status, headers and body of a plain request; `Host` and `Origin` are right where not given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        given["Authorization"] = f"Bearer {key}"
    if method != "GET":
        given.setdefault("Origin", f"http://127.0.0.1:{port}")
    try:
        connection.request(method, path, body, {name: v for name, v in given.items() if v is not None})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()
