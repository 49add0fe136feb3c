"""The address on which OSC is received: the value of `--osc`."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from rtsep.errors import UsageError

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Where:
    """Address given by `--osc`."""

    host: str
    port: int


def parse_where(text: str) -> Where:
    """Read `PORT` or `HOST:PORT`. Raise `UsageError` for anything else."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and 1024 <= int(port) <= 65535) or (":" in text and not host):
        raise UsageError(
            f"--osc '{text}': must be a port from 1024 to 65535, or HOST:PORT, as in 0.0.0.0:9000"
        )
    try:
        host.encode("idna")
    except UnicodeError:
        raise UsageError(f"--osc '{text}': '{host}' is not the name of a computer") from None
    return Where(host or _LOOPBACK, int(port))


def is_here(host: str) -> bool:
    """Return whether an IPv4 address is one of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))
        except OSError:
            return False
        return True


def bind(where: Where) -> socket.socket:
    """Return a socket that receives on the address. Raise `OSError`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind((where.host, where.port))
    except BaseException:
        sock.close()
        raise
    return sock
