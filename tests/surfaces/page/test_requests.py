"""Requests of a page that are in progress while another one is refused, or while the session goes."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from rtsep.errors import SessionError
from rtsep.realtime.wire import encode
from rtsep.surfaces.page.upstream import Upstream
from rtsep.surfaces.remote.messages import Refused, SavePreset
from rtsep.surfaces.remote.request_handler import RequestHandler


@pytest.fixture
def slow_save(monkeypatch):
    """Saving of presets that lasts until the event is set; it begins with the other one."""
    answer, begun, go = RequestHandler.answer, threading.Event(), threading.Event()

    def slowly(self, request):
        if isinstance(request, SavePreset):
            begun.set()
            go.wait(60)
        return answer(self, request)

    monkeypatch.setattr(RequestHandler, "answer", slowly)
    yield begun, go
    go.set()


def test_a_refused_request_leaves_the_others(browser, slow_save):
    begun, go = slow_save
    browser.send({"kind": "savepreset", "id": 71, "name": "slow"})
    assert begun.wait(60)
    browser.send({"kind": "record", "id": 72, "folder": "/tmp"})
    refused = browser.until(lambda message: message.get("id") == 72)
    assert refused["kind"] == "refused"
    go.set()
    assert browser.until(lambda message: message.get("id") == 71)["kind"] == "done"


def test_a_session_that_goes_refuses_what_it_leaves(browser, slow_save, server):
    begun, _ = slow_save
    browser.send({"kind": "savepreset", "id": 81, "name": "never"})
    assert begun.wait(60)
    for connection in list(server._connections):
        connection.sock.shutdown(socket.SHUT_RDWR)
    refused = browser.until(lambda message: message.get("id") == 81)
    assert (refused["kind"], refused["why"]) == ("refused", "the session has gone")
    assert browser.ask("get")["kind"] == "state", "the next request opens another connection"


def test_an_answer_that_comes_before_the_request_is_through_counts(browser, server, monkeypatch):
    send = Upstream.send

    async def slowly(self, request):
        await send(self, request)
        await asyncio.sleep(0.2)  # as for a session that reads slowly

    monkeypatch.setattr(Upstream, "send", slowly)
    assert browser.ask("get")["kind"] == browser.ask("get")["kind"] == "state"
    answered = browser.id - 1
    for connection in list(server._connections):
        connection.sock.shutdown(socket.SHUT_RDWR)
    browser.send({"kind": "get", "id": 91})
    seen = []
    browser.until(lambda message: seen.append(message.get("id")) or message.get("id") == 91)
    assert answered not in seen


def test_a_session_with_too_many_clients_says_so(monkeypatch):
    async def attach() -> None:
        ours, theirs = socket.socketpair()
        monkeypatch.setattr("rtsep.surfaces.page.upstream.connect", lambda name: ours)
        _, writer = await asyncio.open_unix_connection(sock=theirs)
        writer.write(encode(Refused(0, "this session already has 32 clients", 1)).encode())
        await writer.drain()
        try:
            await Upstream.open("default")
        finally:
            writer.close()

    with pytest.raises(SessionError, match="already has 32 clients"):
        asyncio.run(attach())
