"""Messages of an OSC packet from a stranger, in time and memory proportional to its size.

python-osc follows each size that a packet states, also a negative one: its loop over a bundle may have no
end. Therefore bundles are split here, and python-osc parses only single messages that rtsep may accept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pythonosc.osc_message import OscMessage, ParseError

from rtsep.surfaces.osc.words import ROOT

MAX_DEPTH = 8
"""Maximum number of bundles inside each other."""

MAX_ARGUMENTS = 16

_BUNDLE = b"#bundle\0"
_ROOT = ROOT.encode()
_HEADER = len(_BUNDLE) + 8  # with the time tag
_SIZE = 4


def elements(packet: bytes, depth: int = MAX_DEPTH) -> Iterator[bytes]:
    """Yield the elements of a packet that are not bundles, in order.

    Raise `ValueError` for an invalid bundle, after the elements before it.
    """
    if not packet.startswith(_BUNDLE):
        yield packet
        return
    if not depth or len(packet) < _HEADER:
        raise ValueError("bundles too deep, or without a time tag")
    place = _HEADER
    while place < len(packet):
        if len(packet) - place < _SIZE:
            raise ValueError("a bundle ends within a size")
        (size,) = struct.unpack_from(">i", packet, place)
        place += _SIZE
        if size <= 0 or size % 4 or size > len(packet) - place:
            raise ValueError(f"a bundle with an element of {size} bytes")
        yield from elements(packet[place : place + size], depth - 1)
        place += size


def message_of(element: bytes) -> OscMessage | None:
    """Return the message for rtsep in an element; None for other addresses and for invalid messages."""
    if not element.startswith(_ROOT):
        return None
    start = (element.find(b"\0") // 4 + 1) * 4
    tags, _, _ = element[start:].partition(b"\0")
    # No request has arrays or blobs. A blob of negative size would repeat the bytes before it.
    if len(tags) > 1 + MAX_ARGUMENTS or set(tags) & set(b"[]b"):
        return None
    try:
        return OscMessage(element)
    except (ParseError, ValueError):  # ValueError: text that is not UTF-8
        return None
