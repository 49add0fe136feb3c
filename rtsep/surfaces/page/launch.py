"""Start of the page's server beside a session, and its addresses."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from rtsep.surfaces.page.address import Where, lan_address, url
from rtsep.surfaces.page.keys import Keys
from rtsep.surfaces.page.process import Task
from rtsep.surfaces.server_process import ServerProcess


@dataclass(frozen=True)
class Addresses:
    """Addresses of the page."""

    here: str  # for a browser on this machine
    phone: str  # for one in the local network; "": the page is not served there, or there is no network now
    audience: str  # for read-only use
    opened: str  # for a browser that rtsep opens: other users can read it, so it works once
    later: str = ""  # the phone's address with a word for the host, if there is no network now


class Page:
    """The page of the session `name`."""

    def __init__(
        self, name: str, where: Where, keys: Keys, notify: Callable[[str], None], fresh: bool
    ) -> None:
        """`notify` receives lines for the user. `fresh`: nothing has been chosen yet."""
        self._where, self._keys = where, keys
        self._once = secrets.token_urlsafe(16)

        def task(port: int | None) -> Task:
            once = "" if port else self._once  # a restarted server gives no key
            return Task(
                session=name,
                turning=keys.turning,
                reading=keys.reading,
                lan=where.lan,
                port=port or where.port,
                fresh=fresh,
                once=once,
            )

        self.server = ServerProcess("rtsep.surfaces.page.process", "page", "page", task, notify)

    def start(self) -> Addresses:
        """Serve, and return the addresses. Raise `OutputError` if that fails."""
        port, keys = self.server.start(), self._keys
        other = lan_address() if self._where.lan else ""
        return Addresses(
            here=url("127.0.0.1", port, keys.turning),
            phone=url(other, port, keys.turning) if other else "",
            audience=url(other or "127.0.0.1", port, keys.reading),
            opened=url("127.0.0.1", port, f"once-{self._once}"),
            later=url("ADDRESS", port, keys.turning) if self._where.lan and not other else "",
        )

    def close(self) -> None:
        """End the server."""
        self.server.close()
