"""OSC whose sender names the session's own port for its feedback."""

from __future__ import annotations

import socket

import pytest
from pythonosc.osc_message_builder import OscMessageBuilder

from rtsep.errors import UsageError
from rtsep.surfaces.osc.address import Where, bind, is_here, parse_where
from rtsep.surfaces.osc.surface import Surface


def feedback(port: int) -> bytes:
    builder = OscMessageBuilder("/rtsep/feedback")
    builder.add_arg(port)
    return bytes(builder.build().dgram)


def test_feedback_does_not_come_back_to_the_session_itself():
    with bind(Where("127.0.0.1", 0)) as own, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tablet:
        tablet.bind(("127.0.0.1", 0))
        surface, port = Surface("stage", own), own.getsockname()[1]
        for wanted, destinations in ((port, []), (tablet.getsockname()[1], [tablet.getsockname()])):
            tablet.sendto(feedback(wanted), own.getsockname())
            own.setblocking(True)
            surface._receive()
            assert [peer.address for peer in surface.peers.values()] == destinations


def test_addresses_of_this_machine():
    assert is_here("127.0.0.1")
    assert not is_here("192.0.2.1")  # of a network for examples


@pytest.mark.parametrize("host", ["ü..x", "ü" * 70])
def test_a_host_that_is_no_name_is_refused(host):
    with pytest.raises(UsageError, match="not the name of a computer"):
        parse_where(f"{host}:9000")
