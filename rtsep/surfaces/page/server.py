"""The page's server: static files, one WebSocket for each page, uploads, and takes for playback."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from rtsep.errors import RtsepError
from rtsep.files.names import is_there
from rtsep.surfaces.page.access import MAX_CONNECTIONS, AccessControl, ConnectionLimiter
from rtsep.surfaces.page.address import lan_address, own_names, url
from rtsep.surfaces.page.client import TOO_MANY, Client
from rtsep.surfaces.page.codes import picture_of
from rtsep.surfaces.page.feed import Feed
from rtsep.surfaces.page.keys import Keys
from rtsep.surfaces.page.messages import MAX_MESSAGE, welcome
from rtsep.surfaces.page.offers import Offers
from rtsep.surfaces.page.uploads import MAX_BYTES, Uploads

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "page"

MAX_PAGES = 20
"""Maximum number of open pages; each uses one connection of the session's socket."""

PING_S = 5.0
"""Interval of checks whether a page is still there, in seconds."""

_STEMS = ("vocals", "instrumental", "mix")


@dataclass(frozen=True)
class Served:
    """Settings of a server at its start."""

    session: str
    keys: Keys
    lan: bool = False  # other devices of the local network may open it
    fresh: bool = False  # nothing has been chosen yet
    once: str = ""  # a word that gives the key once; "": none does
    max_upload: int = MAX_BYTES


class PageServer:
    """Serves pages of one session on a listening socket."""

    def __init__(self, served: Served, sock: socket.socket, notify: Callable[[str], None]) -> None:
        """`notify` receives lines about the server's own failures, each once."""
        self._served, self._socket, self._notify = served, sock, notify
        self._reported: set[str] = set()
        self._feed = Feed(served.session)
        self._offers, self._uploads = Offers(), Uploads(served.max_upload)
        self._pages = 0
        self._once = served.once
        self._port = port = sock.getsockname()[1]
        lan = sock.getsockname()[0] != "127.0.0.1"
        app: ASGIApp = Starlette(
            routes=[
                WebSocketRoute("/session", self._page),
                Route("/hello", self._hello),
                Route("/key", self._key, methods=["POST"]),
                Route("/upload", self._upload, methods=["POST"]),
                Route("/phone", self._phone),
                Route("/qr.svg", self._code),
                Route("/take/{number:int}/{stem}", self._take),
                Mount("/", StaticFiles(directory=ASSETS, html=True)),
            ],
            lifespan=self._lifespan,
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                AccessControl(app, port, own_names(lan)),
                http="h11",
                ws="websockets-sansio",
                ws_max_size=MAX_MESSAGE,
                ws_ping_interval=PING_S,
                ws_ping_timeout=2 * PING_S,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=1,
                log_config=None,
                access_log=False,
                server_header=False,
            )
        )

    async def run(self) -> None:
        """Serve until `stop`."""
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._uploads.close()

    def stop(self) -> None:
        """Request the end of the server; any thread may call this."""
        self._server.should_exit = True

    @property
    def started(self) -> bool:
        """Return whether requests are answered."""
        return self._server.started

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        limiter = ConnectionLimiter(self._server.server_state.connections)
        tasks = [asyncio.ensure_future(work) for work in (self._feed.run(), limiter.run())]
        for task in tasks:
            task.add_done_callback(self._report)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._report_once(error)

    def _report_once(self, error: BaseException) -> None:
        line = f"the page's server: {type(error).__name__}: {error}"
        if line not in self._reported:
            self._reported.add(line)
            self._notify(line)

    # --- what is asked -----------------------------------------------------------------------------------

    def _key_of(self, headers_and_query: Request | WebSocket) -> bool | None:
        """Return whether the sender may control, or only read; None: a stranger."""
        key = _bearer(headers_and_query) or headers_and_query.query_params.get("key", "")
        return self._served.keys.allows(key)

    async def _page(self, socket: WebSocket) -> None:
        turns = self._key_of(socket)
        if turns is None:
            await socket.close(1008)
            return
        await socket.accept()
        if self._pages >= MAX_PAGES:
            await socket.close(TOO_MANY, f"{MAX_PAGES} pages are open already; close one")
            return
        self._pages += 1
        first = welcome(turns, turns and self._served.lan, self._served.fresh, self._uploads.max_bytes)
        try:
            await Client(socket, self._feed, self._offers, self._served.session, first).run()
        except Exception as error:  # the other pages go on
            self._report_once(error)
        finally:
            self._pages -= 1
            with contextlib.suppress(Exception):
                await socket.close()

    async def _key(self, request: Request) -> Response:
        if not self._once or not hmac.compare_digest(_bearer(request).encode(), self._once.encode()):
            return JSONResponse({"why": "this address is not valid any more"}, 403)
        self._once = ""
        return JSONResponse({"key": self._served.keys.turning}, headers={"Cache-Control": "no-store"})

    async def _hello(self, request: Request) -> Response:
        turns = self._key_of(request)
        if turns is None:
            return JSONResponse({"why": "this address is not valid"}, 403)
        return JSONResponse({"turns": turns})

    async def _upload(self, request: Request) -> Response:
        if not self._key_of(request):
            return JSONResponse({"why": "this address may not do that"}, 403)
        length = request.headers.get("content-length", "")
        try:
            path = await self._uploads.take(
                request.query_params.get("name", ""),
                int(length) if length.isascii() and length.isdigit() else None,
                _parts(request),
            )
        except RtsepError as error:
            return JSONResponse({"why": str(error)}, 400, headers={"Connection": "close"})
        if self._feed.state:
            self._uploads.tidy(self._feed.state.input)
        self._offers.add(path)
        return JSONResponse({"input": str(path)})

    async def _code(self, request: Request) -> Response:
        if not (self._key_of(request) and self._served.lan):
            return JSONResponse({"why": "this address may not do that"}, 403)
        if not (address := self._phone_address()):
            return JSONResponse({"why": "this computer is in no network now; connect it"}, 404)
        headers = {"Cache-Control": "no-store"}
        return Response(picture_of(address), media_type="image/svg+xml", headers=headers)

    async def _phone(self, request: Request) -> Response:
        if not (self._key_of(request) and self._served.lan):
            return JSONResponse({"why": "this address may not do that"}, 403)
        return JSONResponse({"address": self._phone_address()}, headers={"Cache-Control": "no-store"})

    def _phone_address(self) -> str:
        """Return the current address for a phone; "" without a network."""
        address = lan_address()
        return url(address, self._port, self._served.keys.turning) if address else ""

    async def _take(self, request: Request) -> Response:
        state = self._feed.state
        number, stem = request.path_params["number"], request.path_params["stem"]
        if not self._key_of(request):
            return JSONResponse({"why": "this address may not do that"}, 403)
        if state is None or not number < len(state.recordings) or stem not in _STEMS:
            return JSONResponse({"why": "there is no such take"}, 404)
        path = Path(state.recordings[number].get(stem, ""))
        if not is_there(path):
            return JSONResponse({"why": "this file has gone"}, 404)
        headers = {"Cache-Control": "no-store"}
        saved = path.name if "save" in request.query_params else None
        return FileResponse(path, media_type="audio/wav", headers=headers, filename=saved)


def _bearer(of: Request | WebSocket) -> str:
    scheme, _, key = of.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" else ""


async def _parts(request: Request) -> AsyncIterator[bytes]:
    async for part in request.stream():
        yield part
