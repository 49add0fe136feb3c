"""The address of the page: the value of `--page`, the socket, the addresses to type, and access."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from rtsep.errors import UsageError

LOCAL, LAN = "local", "lan"
PORT = 8537
"""Default port of a page, fixed so that bookmarks stay valid; a second session takes one of the next."""

_TRIES = 20
_LOOPBACK = "127.0.0.1"
_WHERE = re.compile(rf"({LOCAL}|{LAN})?(?::(\d+))?")
_SOMEWHERE = ("192.0.2.1", 9)  # of a network that is for examples; nothing is sent there


@dataclass(frozen=True)
class Where:
    """Address given by `--page`."""

    lan: bool
    port: int | None  # None: `PORT`, or one of the next

    @property
    def host(self) -> str:
        """Return the address to bind to."""
        return "0.0.0.0" if self.lan else _LOOPBACK


def parse_where(text: str) -> Where:
    """Read the value of `--page`. Raise `UsageError`."""
    found = _WHERE.fullmatch(text)
    if not found:
        raise UsageError(f"--page '{text}': {LOCAL} or {LAN}, with or without a port, as in {LAN}:{PORT}")
    port = None if found[2] is None else int(found[2])
    if port is not None and not 1024 <= port <= 65535:
        raise UsageError(f"--page '{text}': the port must be from 1024 to 65535")
    return Where(found[1] == LAN, port)


def listen(where: Where) -> socket.socket:
    """Return a socket that listens on the address. Raise `OSError` if a requested port is in use."""
    ports: Sequence[int] = range(PORT, PORT + _TRIES) if where.port is None else (where.port,)
    for port in ports:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((where.host, port))
            sock.listen(64)
            return sock
        except OSError:
            sock.close()
            if port == ports[-1]:
                raise
    raise AssertionError("there is a port at least")


def lan_address() -> str:
    """Return this machine's current address in its network; "" without a network.

    A service can start before the network, so the address is searched each time that it is shown.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(_SOMEWHERE)
        address = str(sock.getsockname()[0])
        return "" if ipaddress.ip_address(address).is_loopback else address
    return ""


def is_ours(host: str, port: int, names: frozenset[str]) -> bool:
    """Return whether an address belongs to this machine or to a private network."""
    name, colon, given = host.rpartition(":")
    if not colon or given != str(port):
        return False
    with contextlib.suppress(ValueError):
        ipaddress.IPv4Address(name)
        return True
    return name.lower() in names


def own_names(lan: bool) -> frozenset[str]:
    """Return the names under which this machine may be reached."""
    if not lan:
        return frozenset({"localhost"})
    name = socket.gethostname().lower()
    return frozenset({"localhost", name, f"{name.partition('.')[0]}.local"})


def url(host: str, port: int, key: str) -> str:
    """Return the address of the page; the key is behind the `#`, which browsers send to no server."""
    return f"http://{host}:{port}/#{key}"
