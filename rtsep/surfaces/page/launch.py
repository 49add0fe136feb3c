"""Starts the page's server beside a session, and knows the addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rtsep.surfaces.beside import Beside
from rtsep.surfaces.page.address import Where, lan_address, url
from rtsep.surfaces.page.keys import Keys
from rtsep.surfaces.page.process import Task


@dataclass(frozen=True)
class Addresses:
    """Where the page is."""

    here: str  # for a browser of this machine
    phone: str  # for one in the local network; "": the page is not served there
    audience: str  # for those who may only read


class Page:
    """The page of the session `name`."""

    def __init__(self, name: str, where: Where, keys: Keys, say: Callable[[str], None], fresh: bool) -> None:
        """`say` gets lines for the user. `fresh`: nothing has been chosen yet."""
        self._where, self._keys = where, keys

        def task(port: int | None) -> Task:
            return Task(name, keys.turning, keys.reading, where.lan, port or where.port, fresh)

        self.server = Beside("rtsep.surfaces.page.process", "page", "page", task, say)

    def start(self) -> Addresses:
        """Serve, and return where. Raises `OutputError` where that cannot be."""
        port, keys = self.server.start(), self._keys
        other = lan_address() if self._where.lan else ""
        return Addresses(
            url("127.0.0.1", port, keys.turning),
            url(other, port, keys.turning) if other else "",
            url(other or "127.0.0.1", port, keys.reading),
        )

    def close(self) -> None:
        """End the server."""
        self.server.close()
