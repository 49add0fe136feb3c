"""One open page: the data that it gets, the requests that it may send, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from rtsep.errors import RtsepError, SessionError, UsageError
from rtsep.realtime.wire import Message, WireError, encode
from rtsep.surfaces.page.feed import Feed, public
from rtsep.surfaces.page.messages import ASKED, BY, HARMLESS, AnyAsked, Away, Seen, Welcome
from rtsep.surfaces.page.offers import Offers
from rtsep.surfaces.page.upstream import Upstream
from rtsep.surfaces.remote.messages import Choices, Lines, Record, Refused, Set, State

FRAMES_AHEAD = 3
"""Maximum number of states on their way to a page: a slow page gets fewer states, never old ones."""

MAX_PER_S, BURST = 200.0, 400.0
"""Rate limit of messages from one page: a user's hand sends fewer."""

BROKEN, TOO_MANY = 1008, 1013
"""Codes for closing the WebSocket: a rule was broken; try again later."""


class Client:
    """Page, from its welcome to its end."""

    def __init__(self, socket: WebSocket, feed: Feed, offers: Offers, session: str, welcome: Welcome) -> None:
        self._socket, self._feed, self._offers, self._session = socket, feed, offers, session
        self._welcome, self._turns = welcome, welcome.turns
        self._room = asyncio.Semaphore(FRAMES_AHEAD)
        self._on_way = 0
        self._allowance, self._counted_at = BURST, time.monotonic()
        self._upstream: Upstream | None = None  # opened by the first request
        self._answering: asyncio.Task[None] | None = None
        self._unanswered: set[int] = set()  # numbers of requests in progress

    async def run(self) -> None:
        """Serve the page until it closes."""
        await self._send(self._welcome)
        tasks = [asyncio.ensure_future(work) for work in (self._push(), self._receive())]
        try:
            with self._feed.viewed():
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks += [self._answering] if self._answering else []
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, _LEFT):
                    raise result
            if self._upstream:
                self._upstream.close()

    # --- what it is shown ------------------------------------------------------------------------------

    async def _push(self) -> None:
        feed = self._feed
        number, pictures, sent_lines, away = 0, feed.pictures, feed.line_count, ""
        while True:
            await self._room.acquire()
            await feed.after(number, away)
            if feed.away != away:
                away = feed.away
                if away:
                    await self._send(Away(away))
            if feed.number == number or feed.state is None:
                self._room.release()
                continue
            number = feed.number
            if self._turns and feed.line_count > sent_lines:
                lines = list(feed.lines)[-(feed.line_count - sent_lines) :]
                sent_lines = feed.line_count
                await self._send(Lines(lines))
            if feed.picture and feed.pictures > pictures:
                pictures = feed.pictures
                await self._socket.send_text(encode(feed.picture))
            self._on_way += 1
            await self._socket.send_text(feed.state_line(self._turns))

    async def _send(self, message: Message) -> None:
        await self._socket.send_text(encode(message))

    # --- its requests -----------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            text = await self._socket.receive_text()
            if not self._within_rate():
                await self._socket.close(BROKEN, "more messages than a hand can send")
                return
            try:
                asked = ASKED.decode(text)
            except WireError as error:
                await self._send(Refused(_id_of(text), str(error).replace("\n", " "), UsageError.exit_code))
                continue
            if isinstance(asked, Seen):
                if self._on_way:
                    self._on_way -= 1
                    self._room.release()
                continue
            try:
                await self._forward(asked)
            except RtsepError as error:
                self._unanswered.discard(asked.id)
                if isinstance(error, SessionError) and self._upstream:  # others concern this request alone
                    await self._let_go(self._upstream)
                await self._send(Refused(asked.id, str(error), error.exit_code))

    def _within_rate(self) -> bool:
        now = time.monotonic()
        self._allowance = min(BURST, self._allowance + MAX_PER_S * (now - self._counted_at)) - 1.0
        self._counted_at = now
        return self._allowance > 0

    async def _forward(self, asked: AnyAsked) -> None:
        assert not isinstance(asked, Seen)
        if not (self._turns or isinstance(asked, HARMLESS)):
            raise UsageError("this address may only read")
        if isinstance(asked, Set):
            asked = msgspec.structs.replace(asked, by=BY)
        if isinstance(asked, Record) and asked.folder is not None:
            raise UsageError("a page records to where the session keeps its takes")
        self._offers.check(asked)
        if self._upstream is None:
            self._upstream = await Upstream.open(self._session)
            self._answering = asyncio.ensure_future(self._answer(self._upstream))
        self._unanswered.add(asked.id)  # the answer may come before `send` returns
        await self._upstream.send(asked)

    async def _answer(self, upstream: Upstream) -> None:
        """Pass on the session's answers."""
        try:
            while True:
                answer = await upstream.receive()
                if isinstance(answer, Choices):
                    self._offers.note(answer)
                if isinstance(answer, State) and not self._turns:
                    answer = public(answer)
                self._unanswered.discard(getattr(answer, "id", 0))
                await self._send(answer)
        except RtsepError:
            with contextlib.suppress(*_LEFT):
                await self._let_go(upstream)
        except _LEFT:
            pass  # the other tasks find out

    async def _let_go(self, upstream: Upstream) -> None:
        """Close a connection to the session that has failed, and refuse the requests that it leaves."""
        upstream.close()
        if self._upstream is not upstream:  # a later request has opened another one
            return
        self._upstream = None
        left, self._unanswered = self._unanswered, set()
        for id in left:
            await self._send(Refused(id, "the session has gone", SessionError.exit_code))


_LEFT = (WebSocketDisconnect, RuntimeError, KeyError, asyncio.CancelledError)
"""Exceptions of sending and receiving after the page has closed, or has sent bytes instead of text."""


def _id_of(text: str) -> int:
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, dict) and type(found.get("id")) is int:
            return int(found["id"])
    return 0
