"""Connections of rtsep's ports on a JACK server: made at the start, and again when lost ports are back."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from rtsep.audio.backend import Cables
from rtsep.audio.jack_ports import CALLS, CAPTURE, PLAYBACK, card_ports, default_ports, ports_of
from rtsep.realtime.foreign_calls import within

LOOK_EVERY_S = 0.5

CONNECT_PATIENCE_S = 2.0
"""Time limit for the server to list and make connections, in seconds; a slower one is taken to hang."""


class Peers(NamedTuple):
    """Programs to connect inputs and outputs to; "": the sound card."""

    inputs: str = ""
    outputs: str = ""


CARD = Peers()


class _Side:
    """The inputs or the outputs of rtsep."""

    def __init__(self, word: str, card: str, ports: list[Any], peer: str) -> None:
        self.word, self.card, self.ports, self.peer = word, card, ports, peer
        self.others: list[str] = []  # ports to connect to, in order
        self.wanted: Cables = {}  # for each of rtsep's ports: its connections, including lost ones
        self.gone: set[str] = set()  # lost ports among them
        self.found = False  # whether there has been a port to connect to
        self.silent = False  # whether the user was informed that nothing is connected


class Plugs:
    """Wanted connections of one client. The methods query the server."""

    def __init__(
        self,
        client: Any,
        inputs: list[Any],
        outputs: list[Any],
        connects: bool,
        cables: Cables,
        peers: Peers = CARD,
    ) -> None:
        """Connect `inputs` and `outputs` of `client` as in `cables`, other ports to `peers`.

        If `connects` is false, only `cables` is used. The last connections are stored there.
        """
        self._client, self._connects, self._cables = client, connects, cables
        sides = (
            _Side("inputs", CAPTURE, inputs, peers.inputs),
            _Side("outputs", PLAYBACK, outputs, peers.outputs),
        )
        self._sides = [side for side in sides if side.ports]
        self._look_at = 0.0  # monotonic time

    def connect(self) -> None:
        """Make the first connections, if there are ports to connect to."""
        for side in self._sides:
            self._connect_side(side)

    def _connect_side(self, side: _Side) -> None:
        client, card, peer = self._client, side.card, side.peer
        side.others = ports_of(client, peer, card) if peer else card_ports(client, card)
        for k, port in enumerate(side.ports):
            there = side.others[k : k + 1] if self._connects else []
            side.wanted[port.shortname] = list(self._cables.get(_key(side, port), there))
            self._plug(port, side.wanted[port.shortname])
        side.found = any(self._connected(port) for port in side.ports)

    def _plug(self, port: Any, others: list[str]) -> None:
        for other in others:
            # it has just gone, or another program has made the connection
            with contextlib.suppress(Exception):
                self._client.connect(*_from_to(port, other))

    def _connected(self, port: Any) -> list[str]:
        return [other.name for other in self._client.get_all_connections(port)]

    def _is_there(self, name: str) -> bool:
        try:
            self._client.get_port_by_name(name)
        except Exception:
            return False
        return True

    def tend(self, now: float) -> list[str]:
        """Check the connections at intervals; `now` is the monotonic time. Return lines for the user."""
        if now < self._look_at:
            return []
        self._look_at = now + LOOK_EVERY_S
        lines: list[str] = []

        def look() -> None:
            with contextlib.suppress(Exception):  # the server is about to end
                for side in self._sides:
                    lines.extend(self._follow(side))
                    self._restore(side)
                    lines.extend(self._changes(side))

        within(CONNECT_PATIENCE_S, look, CALLS)
        return lines

    def _follow(self, side: _Side) -> list[str]:
        """Switch to a new default sink or source, except for the user's own connections; return a line."""
        now = default_ports(self._client, side.card) if self._connects and not side.peer else []
        if not (now and side.others) or now == side.others:
            return []
        before, side.others = side.others, now
        followed = False
        for k, port in enumerate(side.ports):
            wanted, old, new = side.wanted[port.shortname], before[k : k + 1], now[k : k + 1]
            if not set(old) <= set(wanted) or (wanted and not old):
                continue  # connected elsewhere by the user
            for name in old:
                self._unplug(port, name)
            self._plug(port, new)
            side.wanted[port.shortname] = [name for name in wanted if name not in old] + new
            followed = True
        device = now[0].partition(":")[0]
        does = "capture continues from it" if side.card == CAPTURE else "playback continues there"
        return [f"the default {side.word[:-1]} is now '{device}': {does}"] if followed else []

    def _unplug(self, port: Any, other: str) -> None:
        with contextlib.suppress(Exception):  # it has just gone
            self._client.disconnect(*_from_to(port, other))

    def _restore(self, side: _Side) -> None:
        """Connect again to returned ports; forget connections that the user has removed."""
        away: set[str] = set()
        for port in side.ports:
            connected = self._connected(port)
            missing = [name for name in side.wanted.get(port.shortname, []) if name not in connected]
            away.update(name for name in missing if not self._is_there(name))
            back = [name for name in missing if name in side.gone and name not in away]
            self._plug(port, back)
            side.wanted[port.shortname] = [
                *connected, *(name for name in missing if name in away or name in back)
            ]  # fmt: skip
            side.found |= bool(connected)
        side.gone = away
        if self._connects and not side.found and not away:
            self._connect_side(side)

    def _changes(self, side: _Side) -> list[str]:
        connected = {name for port in side.ports for name in self._connected(port)}
        if connected or not (self._connects or side.gone):
            was_silent, side.silent = side.silent, False
            return [f"{', '.join(sorted(connected))}: connected"] if was_silent and connected else []
        if side.silent or (side.found and not side.gone):  # else the user has disconnected them
            return []
        side.silent = True
        awaited = ", ".join(sorted(side.gone)) or side.peer or "a sound device"
        return [f"rtsep's {side.word} have no connection; waiting for {awaited}"]

    def note_cables(self, gone: bool) -> None:
        """Keep the connections for the next client; `gone`: the server ended, with all other ports."""
        for side in self._sides:
            for port in side.ports:
                self._cables.pop(_key(side, port), None)
                if not gone:
                    with contextlib.suppress(Exception):
                        connected = self._connected(port)
                        wanted = side.wanted.get(port.shortname, [])
                        away = [name for name in wanted if name in side.gone and name not in connected]
                        self._cables[_key(side, port)] = connected + away


def _from_to(port: Any, other: str) -> tuple[Any, Any]:
    """Return both ends of a connection of `port`, an input or output of rtsep."""
    return (other, port) if port.is_input else (port, other)


def _key(side: _Side, port: Any) -> str:
    """Return the key for a port's cables: connections to another program have another key."""
    return f"{port.shortname} to {side.peer}" if side.peer else str(port.shortname)
