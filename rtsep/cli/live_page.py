"""`--page`: the page of a session, its addresses in words, and a browser that shows it."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rtsep.errors import RtsepError, UsageError
from rtsep.surfaces.page.address import Where, parse_where
from rtsep.surfaces.page.keys import load_keys
from rtsep.surfaces.page.launch import Addresses, Page
from rtsep.surfaces.remote.place import supported
from rtsep.surfaces.remote.server import Server


def page_of(arguments: argparse.Namespace) -> Where | None:
    """Return where the page is to be served, None for none. Raises `UsageError`."""
    if arguments.page is None:
        return None
    if not supported():
        raise UsageError("--page: this system has no Unix sockets for Python, which the page needs")
    if not arguments.remote:
        raise UsageError("--page: the page reaches the session as 'rtsep attach' does; leave --no-remote out")
    return parse_where(arguments.page)


def open_page(
    where: Where | None, remote: Server | None, say: Callable[[str], None]
) -> AbstractContextManager[None] | None:
    """Return what serves the page while it is entered; None where there is none, which is said."""
    if where is None:
        return None
    if remote is None:
        say("no page: the session cannot be reached (see above)")
        return None
    return _served(where, remote.name, say)


@contextmanager
def _served(where: Where, session: str, say: Callable[[str], None]) -> Iterator[None]:
    page = None
    try:
        page = Page(session, where, load_keys(), say, fresh=False)
        _announce(page.start(), say)
    except RtsepError as error:  # the sound goes on
        say(str(error))
    try:
        yield
    finally:
        if page:
            page.close()


def _announce(addresses: Addresses, say: Callable[[str], None]) -> None:
    say(f"page: {addresses.here}")
    if addresses.phone:
        say(f"page for a phone in this network: {addresses.phone}")
        say(f"page for the audience, which turns nothing: {addresses.audience}")
    if can_browse():
        threading.Thread(target=webbrowser.open, args=(addresses.here,), name="browser", daemon=True).start()


def can_browse() -> bool:
    """Return whether a browser can show something here."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
