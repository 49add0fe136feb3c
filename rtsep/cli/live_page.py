"""`--page`: the page of a session, its addresses in words and as a QR code, and a browser that shows it."""

from __future__ import annotations

import argparse
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rtsep.errors import RtsepError, UsageError
from rtsep.session.api import Session
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
    where: Where | None, remote: Server | None, say: Callable[[str], None], fresh: bool
) -> AbstractContextManager[Addresses | None] | None:
    """Return what serves the page while it is entered; None where there is none, which is said.

    `fresh`: nothing has been chosen yet, the page asks for it.
    """
    if where is None:
        return None
    if remote is None:
        say("no page: the session cannot be reached (see above)")
        return None
    return _served(where, remote.name, say, fresh)


@contextmanager
def _served(
    where: Where, session: str, say: Callable[[str], None], fresh: bool
) -> Iterator[Addresses | None]:
    page = addresses = None
    try:
        page = Page(session, where, load_keys(), say, fresh)
        addresses = page.start()
        _announce(addresses, say)
    except RtsepError as error:  # the sound goes on
        say(str(error))
    try:
        yield addresses
    finally:
        if page:
            page.close()


def _announce(addresses: Addresses, say: Callable[[str], None]) -> None:
    say(f"page: {addresses.here}")
    if addresses.phone:
        say(f"page for a phone in this network: {addresses.phone}")
        say(f"page for the audience, which turns nothing: {addresses.audience}")
    if can_browse():
        import webbrowser

        threading.Thread(
            target=webbrowser.open, args=(addresses.opened,), name="browser", daemon=True
        ).start()


def can_browse() -> bool:
    """Return whether a browser can show something here."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show_code(addresses: Addresses | None, session: Session, waits: bool) -> None:
    """Print the QR code of the address for a phone, if a terminal is there to show it.

    With `waits`, a view is about to cover it: return on Enter, or when the session is over.
    """
    if addresses is None or not addresses.phone or sys.__stderr__ is None or not sys.__stderr__.isatty():
        return
    from rtsep.surfaces.page.codes import lines_of

    print(lines_of(addresses.phone), file=sys.stderr)
    if not waits:
        return
    print("Scan it with a phone in this network, then press Enter", file=sys.stderr, flush=True)
    while not session.is_over() and not select.select([sys.stdin], [], [], 0.2)[0]:
        pass
    if not session.is_over():
        sys.stdin.readline()
