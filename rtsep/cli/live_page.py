"""`--page`: the page of a session, its addresses as text and as a QR code, and a browser to show it."""

from __future__ import annotations

import argparse
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from rtsep.errors import NoThreadError, RtsepError
from rtsep.realtime import threads
from rtsep.session.api import Session
from rtsep.surfaces.page.address import Where, parse_where
from rtsep.surfaces.page.keys import load_keys
from rtsep.surfaces.page.launch import Addresses, Page
from rtsep.surfaces.remote.server import Server
from rtsep.surfaces.server_process import require_socket


def page_of(arguments: argparse.Namespace) -> Where | None:
    """Return the address to serve the page on, None for no page. Raise `UsageError` for a bad combination."""
    if arguments.page is None:
        return None
    require_socket("--page", "the page", arguments.remote)
    return parse_where(arguments.page)


def open_page(
    where: Where | None, remote: Server | None, notify: Callable[[str], None], fresh: bool
) -> AbstractContextManager[Addresses | None] | None:
    """Serve the page inside the block and return its server; None if that fails, after a message.

    `fresh`: nothing has been chosen yet, and the page asks for it.
    """
    if where is None:
        return None
    if remote is None:
        notify("no page: the session cannot be reached (see above)")
        return None
    return _served(where, remote.name, notify, fresh)


@contextmanager
def _served(
    where: Where, session: str, notify: Callable[[str], None], fresh: bool
) -> Iterator[Addresses | None]:
    page = addresses = None
    try:
        page = Page(session, where, load_keys(), notify, fresh)
        addresses = page.start()
        _announce(addresses, notify)
    except RtsepError as error:  # the audio continues without the page
        notify(str(error))
    try:
        yield addresses
    finally:
        if page:
            page.close()


def _announce(addresses: Addresses, notify: Callable[[str], None]) -> None:
    notify(f"page: {addresses.here}")
    if addresses.phone:
        notify(f"page for a phone in this network: {addresses.phone}")
        notify(f"page for the audience (read-only): {addresses.audience}")
    elif addresses.later:
        notify(
            "page for a phone: this computer is in no network now; when it is, Setup on the page shows the "
            f"address: {addresses.later}, with the computer's own for ADDRESS"
        )
    if can_browse():
        import webbrowser

        browser = threading.Thread(
            target=webbrowser.open, args=(addresses.opened,), name="browser", daemon=True
        )
        with suppress(NoThreadError):  # the user has the address
            threads.start(browser)


def can_browse() -> bool:
    """Return whether this machine can show a browser."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show_code(addresses: Addresses | None, session: Session, waits: bool) -> None:
    """Print the QR code of the phone's address, if standard error is a terminal.

    With `waits`, a view is about to cover the code: return after Enter, or when the session ends.
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
