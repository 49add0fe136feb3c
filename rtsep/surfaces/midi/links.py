"""The wanted ports: opened when they appear, closed when they disappear, and read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rtsep.surfaces.midi import protocol
from rtsep.surfaces.midi.names import (
    ALL,
    OWN_PORT,
    VIRTUAL,
    foreign,
    lasting,
    matching,
    split_system,
    twin,
)
from rtsep.surfaces.midi.systems import FAILURES, Output, System

MAX_AT_ONCE = 4096

OUTPUT_AFTER_S = (0.2, 2.0)
"""Delays after the opening of an input at which its output is searched, because it may appear later."""

REFUSED_S = 1.0
"""Delay before another attempt to open a port that failed, in seconds."""


@dataclass(eq=False)
class Link:
    """Wanted port."""

    key: int
    text: str  # as requested, without the system
    system_name: str | None  # the only accepted system
    passing: bool = False  # present because every port is wanted: matches exactly this name
    system: System | None = None  # system on which it is open
    input: Any = None
    output: Output | None = None
    name: str = ""  # name of the port, or its last name while it is missing
    tries: list[float] = field(default_factory=list)  # times of searches for its output
    failed: str = ""  # reason why it could not be opened
    twins: set[str] = field(default_factory=set)  # other matching ports that were present while it was open
    rests_until: float = 0.0

    @property
    def virtual(self) -> bool:
        """Return whether it is a virtual port of rtsep."""
        return self.text.lower() == VIRTUAL and not self.passing

    @property
    def is_open(self) -> bool:
        """Return whether it is open."""
        return self.input is not None

    def fits(self, system: System, names: list[str]) -> list[str]:
        """Return the matching `names` on `system`, the previous one first."""
        if self.passing:
            return [name for name in names if name == self.text]
        found = matching(self.text, names, system.name)
        before = lasting(self.name, system.name)
        return sorted(found, key=lambda name: lasting(name, system.name) != before)


class Links:
    """All wanted ports."""

    def __init__(
        self, wanted: list[str], systems: list[System], send: Callable[[protocol.Event], None]
    ) -> None:
        """`wanted` are names or parts of them, "virtual", or "" for all; `send` receives their events."""
        self._send = send
        self._systems = systems
        self._links = [
            Link(key, text, system)
            for key, (system, text) in enumerate(map(split_system, wanted))
            if text != ALL
        ]
        self._all = len(self._links) < len(wanted)
        self._next_key = len(wanted)
        self._sent_ports: dict[str, list[str]] | None = None
        self._scanned = False

    def scan(self) -> None:
        """Check for new and missing ports."""
        there: dict[str, list[str]] = {}
        for system in self._systems:
            # If the native system has all wanted ports, JACK needs no further client.
            if system.is_jack and not system.answers and any(there.values()) and not self._wants_more:
                continue
            names = there[system.name] = system.names()
            self._close_those_gone(system, names)
            if self._all:
                self._want_all(system, names)
            for link in [link for link in self._links if not link.is_open]:
                self._find(link, system, names)
            for link in [link for link in self._links if link.system is system and not link.virtual]:
                link.twins = {name for name in link.fits(system, names) if name != link.name}
        if there != self._sent_ports:
            self._sent_ports = there
            self._send(protocol.Ports(there))
        for link in self._links:
            if link.tries and time.monotonic() >= link.tries[0]:
                link.tries.pop(0)
                self._find_output(link)
        if not self._scanned:
            self._scanned = True
            self._send(protocol.Scanned())

    @property
    def _wants_more(self) -> bool:
        return self._all or any(not link.is_open for link in self._links)

    def _close_those_gone(self, system: System, names: list[str]) -> None:
        for link in [link for link in self._links if link.system is system and not link.virtual]:
            if link.is_open and link.name not in names:
                self._close(link)
        self._links = [
            link
            for link in self._links
            if not link.passing or link.system_name != system.name or link.text in names
        ]

    def _want_all(self, system: System, names: list[str]) -> None:
        """Create a link for every port."""
        linked = [link.name for link in self._links if link.is_open and link.system is system]
        linked += [link.text for link in self._links if link.passing and link.system_name == system.name]
        for name in names:
            if name not in linked:
                self._links.append(Link(self._next_key, name, system.name, passing=True))
                self._next_key += 1

    def _find(self, link: Link, system: System, names: list[str]) -> None:
        """Open `link` if it is on `system`."""
        if link.system_name not in (None, system.name) or time.monotonic() < link.rests_until:
            return
        if link.virtual:
            if system.answers:
                self._open(link, system, None, [])
            return
        taken = [other.name for other in self._links if other.is_open and other.system is system]
        fits = link.fits(system, [name for name in names if name not in taken])
        if fits and fits[0] in link.twins:  # it was present beside the port that has disappeared
            self._open(link, system, fits[0], [*fits[1:], link.name])
        elif fits:
            again = lasting(fits[0], system.name) == lasting(link.name, system.name)
            self._open(link, system, fits[0], [] if again else fits[1:])

    def _open(self, link: Link, system: System, name: str | None, others: list[str]) -> None:
        try:
            link.input = system.open(name)
        except FAILURES as error:
            link.rests_until = time.monotonic() + REFUSED_S
            if str(error) != link.failed:
                link.failed = str(error)
                self._send(protocol.Failed(link.key, name or VIRTUAL, link.failed))
            return
        link.system, link.name, link.failed = system, name or OWN_PORT, ""
        now = time.monotonic()
        link.tries = [now] if link.virtual else [now + after for after in OUTPUT_AFTER_S]
        self._send(protocol.Opened(key=link.key, name=link.name, system=system.name, others=others))

    def _find_output(self, link: Link) -> None:
        assert link.system
        system = link.system
        taken = {other.output.name for other in self._links if other.output and other.system is system}
        try:
            output = Output(system)
        except FAILURES:
            return
        try:
            name = None
            if not link.virtual:
                names = [name for name in foreign(output.names()) if name not in taken]
                name = twin(link.name, names, system.name)
                if name is None:
                    output.close()
                    return
            output.open(name)
        except FAILURES:
            output.close()
            return
        link.output, link.tries = output, []
        self._send(protocol.Output(link.key))

    def _close(self, link: Link) -> None:
        assert link.system
        if link.output is not None:
            link.output.close()
        link.system.close(link.input)
        link.input = link.output = None
        link.tries = []
        self._send(protocol.Closed(link.key))

    def drain(self) -> int:
        """Report new messages; return their number."""
        count = 0
        for link in self._links:
            if link.input is None:
                continue
            batch: list[list[int]] = []
            while len(batch) < MAX_AT_ONCE and (got := link.input.get_message()) is not None:
                batch.append(got[0])
            if batch:
                self._send(protocol.Received(link.key, batch))
            count += len(batch)
        return count

    def send(self, key: int, messages: list[list[int]]) -> None:
        """Send to the controller of a link, if possible."""
        for link in self._links:
            if link.key == key and link.output is not None:
                link.output.send(messages)
