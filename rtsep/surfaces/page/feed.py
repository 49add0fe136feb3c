"""Data for all pages: one reader of the session, however many pages there are."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from pathlib import PurePath

import msgspec

from rtsep.errors import RtsepError, SessionError
from rtsep.realtime.wire import encode
from rtsep.surfaces.page.upstream import Upstream
from rtsep.surfaces.remote.messages import Lines, Picture, Refused, State, Subscribe

FRAMES_PER_S = 30.0
_UNSEEN_PER_S = 1.0
"""Rate of reading the state without viewers."""

AGAIN_S = 0.5
LINES_KEPT = 50


def public(state: State) -> State:
    """Return a state without information about the disk and the processes of the machine."""
    stats = {key: value for key, value in state.stats.items() if key != "recording"}
    stats["model"] = {key: value for key, value in stats["model"].items() if key not in ("pid", "error")}
    input, output = (PurePath(name).name for name in (state.input, state.output))
    return msgspec.structs.replace(state, input=input, output=output, recordings=[], stats=stats)


class Feed:
    """Newest data. Each page takes it when it can, and delays no other page."""

    def __init__(self, name: str) -> None:
        """Read the session `name`."""
        self._name = name
        self._viewers = 0
        self._looked = asyncio.Event()  # the number of viewers has come to or from 0
        self._changed = asyncio.Condition()
        self.number = 0  # of the newest state; 0: none has come
        self.state: State | None = None
        self.picture: Picture | None = None
        self.pictures = 0  # how many have come
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.line_count = 0  # how many lines have come
        self.away = "the session has not been found yet"  # why nothing comes; "": it does
        self._line = self._public_line = ""

    @contextlib.contextmanager
    def viewed(self) -> Iterator[None]:
        """Read at the rate of a viewer inside the block."""
        self._viewers += 1
        self._looked.set()
        try:
            yield
        finally:
            self._viewers -= 1
            self._looked.set()

    async def after(self, number: int, away: str) -> None:
        """Wait until there is a state after `number`, or until `away` has changed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.number > number or self.away != away)

    def state_line(self, turns: bool) -> str:
        """Return the newest state as a message; for read-only pages, without information about the disk."""
        assert self.state
        if turns:
            self._line = self._line or encode(self.state)
            return self._line
        self._public_line = self._public_line or encode(public(self.state))
        return self._public_line

    async def run(self) -> None:
        """Read the session, and search it again after it has ended; runs for ever."""
        while True:
            try:
                await self._read()
            except RtsepError as error:
                await self._set_away(away=str(error))
            await asyncio.sleep(AGAIN_S)

    async def _read(self) -> None:
        with await Upstream.open(self._name) as upstream:
            asking = asyncio.ensure_future(self._subscribe(upstream))
            try:
                while not asking.done():
                    await self._take(await upstream.receive())
            finally:
                asking.cancel()

    async def _subscribe(self, upstream: Upstream) -> None:
        """Subscribe at the rate that the viewers need."""
        while True:
            self._looked.clear()
            looked_at = self._viewers > 0
            rate = FRAMES_PER_S if looked_at else _UNSEEN_PER_S
            await upstream.send(Subscribe(rate=rate, picture=looked_at))
            while (self._viewers > 0) == looked_at:
                await self._looked.wait()
                self._looked.clear()

    async def _take(self, message: object) -> None:
        match message:
            case State():
                self.state = message
                self._line = self._public_line = ""
                self.number += 1
                await self._set_away(away="")
            case Picture():
                self.picture = message
                self.pictures += 1
            case Lines():
                self.lines.extend(message.lines)
                self.line_count += len(message.lines)
            case Refused():
                raise SessionError(message.why)

    async def _set_away(self, away: str) -> None:
        self.away = away
        async with self._changed:
            self._changed.notify_all()
