"""Receives OSC messages, controls the session with them, and sends back its state."""

from __future__ import annotations

import contextlib
import math
import queue
import select
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from rtsep.errors import RtsepError, UsageError
from rtsep.realtime.threads import start
from rtsep.surfaces.osc.address import is_here
from rtsep.surfaces.osc.packets import elements, message_of
from rtsep.surfaces.osc.words import FEEDBACK, POSITION_PLACES, ROOT, SYNC, messages_of, request_of
from rtsep.surfaces.remote.link import Link
from rtsep.surfaces.remote.messages import Request, Set, State, Stretch, Subscribe
from rtsep.surfaces.server_process import is_near

FEEDBACK_HZ = 20.0
MAX_PEERS = 8
FORGET_S = 600.0
"""Time of silence in seconds after which a sender gets no more messages."""

HOLD_S = 0.3
"""Time in seconds after a value from a sender in which it gets none for that address: the state is behind the
hand that drags a fader, and older values would move the fader back."""

MAX_WAITING = 64
"""Maximum number of messages that wait for the session; more are dropped."""

MAX_PACKET = 4096  # maximum bytes of a packet
MAX_PER_S, BURST = 1000.0, 500.0
"""Rate limit of all senders together; the system drops messages that come faster."""

MAX_PEERS_PER_HOST = 4
"""Limit for one host, so that it cannot displace all others."""

AGAIN_S = 0.5


@dataclass
class Peer:
    """Sender of at least one valid message."""

    address: tuple[str, int]  # address of its feedback
    seen: float
    sent_values: dict[str, Any] = field(default_factory=dict)  # arguments it already has, by address
    held_until: dict[str, float] = field(default_factory=dict)  # monotonic time, by address

    def take_own(self, address: str, value: Any, now: float) -> None:
        """Record a value that the peer itself has sent."""
        self.sent_values[address], self.held_until[address] = value, now + HOLD_S

    def lacks(self, address: str, value: Any, now: float) -> bool:
        """Return whether the peer should get this value now."""
        if self.held_until.get(address, 0.0) > now:
            return False
        return address not in self.sent_values or not _same(address, self.sent_values[address], value)

    def forget(self) -> None:
        """Send it all values again."""
        self.sent_values.clear()
        self.held_until.clear()


class Surface:
    """OSC on a socket, for the session `name`."""

    def __init__(self, name: str, sock: socket.socket) -> None:
        self._name, self._sock = name, sock
        sock.setblocking(False)
        self._leaving = threading.Event()
        self._state: State | None = None
        self._requests: queue.Queue[Request] = queue.Queue(MAX_WAITING)
        self._allowance, self._counted_at = BURST, time.monotonic()
        self.peers: dict[tuple[str, int], Peer] = {}  # by the address of the sender

    def run(self) -> None:
        """Serve until `stop`. Raise `NoThreadError`."""
        start(threading.Thread(target=self._follow, name="osc-session", daemon=True))
        due = 0.0
        while not self._leaving.is_set():
            now = time.monotonic()
            if now >= due:
                due = now + 1.0 / FEEDBACK_HZ
                self._feed_back(now)
            if not self._may_take_more(now):
                self._leaving.wait(max(0.0, due - now))
            elif select.select([self._sock], [], [], max(0.0, due - now))[0]:
                self._receive()
        self._sock.close()

    def stop(self) -> None:
        """Request the end of `run`; any thread may call this."""
        self._leaving.set()

    # --- messages ------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        try:
            packet, sender = self._sock.recvfrom(MAX_PACKET + 1)
        except OSError:
            return
        self._allowance -= 1.0
        if len(packet) > MAX_PACKET or not is_near(sender[0]):
            return
        with contextlib.suppress(ValueError):
            for k, element in enumerate(list(elements(packet))):
                self._allowance -= float(k > 0)  # the packet has paid for the first one
                if found := message_of(element):
                    self._take(found, sender)

    def _may_take_more(self, now: float) -> bool:
        self._allowance = min(BURST, self._allowance + MAX_PER_S * (now - self._counted_at))
        self._counted_at = now
        return self._allowance > 0

    def _take(self, message: OscMessage, sender: tuple[str, int]) -> None:
        """Carry out the request of a message; an invalid message gets no answer."""
        address, arguments = message.address, list(message.params)
        if not address.startswith(ROOT):
            return
        what = address.removeprefix(ROOT)
        request: Request | None = None
        port = None
        if what == FEEDBACK:
            if len(arguments) != 1 or type(arguments[0]) is not int or not 1024 <= arguments[0] <= 65535:
                return
            port = arguments[0]
            if port == self._sock.getsockname()[1] and is_here(sender[0]):
                return  # it would obey its own feedback
        elif what != SYNC:
            try:
                request = request_of(address, arguments)
            except UsageError:
                return
        peer = self._known(sender, port)
        if peer and what in (FEEDBACK, SYNC):
            peer.forget()
        if request:
            if peer and isinstance(request, Set | Stretch):  # the sender already has its own fader's value
                peer.take_own(address, arguments[0], time.monotonic())
            with contextlib.suppress(queue.Full):
                self._requests.put_nowait(request)

    def _known(self, sender: tuple[str, int], port: int | None) -> Peer | None:
        """Return the peer for `sender`; None if there are too many.

        With `port`, its feedback goes there, and other peers with that destination are removed: a tablet that
        wakes up sends from another port.
        """
        now = time.monotonic()
        if port is not None:
            for other, known in list(self.peers.items()):
                if other != sender and known.address == (sender[0], port):
                    del self.peers[other]
        peer = self.peers.get(sender)
        if peer is None:
            same = sum(host == sender[0] for host, _ in self.peers)
            if len(self.peers) >= MAX_PEERS or same >= MAX_PEERS_PER_HOST:
                return None
            peer = self.peers[sender] = Peer(sender, now)
        peer.seen = now
        if port is not None:
            peer.address = (sender[0], port)
        return peer

    def _feed_back(self, now: float) -> None:
        state = self._state
        for sender, peer in list(self.peers.items()):
            if now - peer.seen > FORGET_S:
                self.peers.pop(sender, None)
        if state is None:
            return
        messages = messages_of(state)
        for peer in list(self.peers.values()):
            for address, value in messages.items():
                if peer.lacks(address, value, now):
                    peer.sent_values[address] = value
                    with contextlib.suppress(OSError):  # full, or gone: the next value will follow
                        self._sock.sendto(_encoded(address, value), peer.address)

    # --- the session ---------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Read the session, and search it again after it has ended."""
        while not self._leaving.wait(AGAIN_S):
            with contextlib.suppress(RtsepError), Link(self._name) as link:
                link.send(Subscribe(id=link.new_id(), rate=FEEDBACK_HZ))
                gone = threading.Event()
                sender = threading.Thread(
                    target=self._send, args=(link, gone), name="osc-requests", daemon=True
                )
                start(sender)  # at a limit of threads: try once more
                try:
                    while not self._leaving.is_set():
                        answer = link.receive()
                        if isinstance(answer, State):
                            self._state = answer
                finally:
                    gone.set()
                    sender.join()
            self._state = None

    def _send(self, link: Link, gone: threading.Event) -> None:
        with contextlib.suppress(RtsepError):
            while not gone.is_set():
                with contextlib.suppress(queue.Empty):
                    link.send(self._requests.get(timeout=0.2))


def _same(address: str, one: Any, other: Any) -> bool:
    """Return whether two arguments are the same: OSC has 32-bit numbers, and positions are rounded."""
    if not (isinstance(one, int | float) and isinstance(other, int | float)):
        return bool(one == other)
    rounding = 0.6 * 10**-POSITION_PLACES if address.startswith(f"{ROOT}position/") else 0.0
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=rounding)


def _encoded(address: str, value: Any) -> bytes:
    builder = OscMessageBuilder(address)
    builder.add_arg(value)
    return bytes(builder.build().dgram)
