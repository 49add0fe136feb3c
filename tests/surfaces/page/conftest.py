"""A page's server on a thread of the tests, before a session that plays a long tone on the virtual device."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from rtsep.surfaces.page.address import Where, listen
from rtsep.surfaces.page.keys import Keys
from rtsep.surfaces.page.server import PageServer, Served
from tests.surfaces.page.pages import Browser
from tests.surfaces.remote.conftest import half, server, session  # noqa: F401 - fixtures
from tests.waiting import until

KEYS = Keys.new()
MAX_UPLOAD = 1 << 20


@contextlib.contextmanager
def served(name, **more):
    """Serve pages of the session `name`; give the port."""
    told = []
    sock = listen(Where(False, None))
    page = PageServer(Served(name, KEYS, **more), sock, told.append)
    thread = threading.Thread(target=lambda: asyncio.run(page.run()), daemon=True)
    thread.start()
    until(lambda: page.started, "the server should start")
    try:
        yield sock.getsockname()[1]
    finally:
        page.stop()
        thread.join(10)
    assert not thread.is_alive()
    assert told == []


@pytest.fixture(scope="module")
def port(server):  # noqa: F811
    with served(server.name, max_upload=MAX_UPLOAD) as port:
        yield port


@pytest.fixture
def browser(port):
    with Browser(port, KEYS.turning) as browser:
        yield browser
