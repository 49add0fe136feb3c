"""The MIDI systems of this machine (ALSA, JACK, CoreMIDI, Windows), through rtmidi, imported only here."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import rtmidi

from rtsep.surfaces.midi.names import OWN_CLIENT, OWN_OUTPUT, OWN_PORT, foreign

ANSWER_S = 1.0  # interval of requests to a system that did not answer
QUEUE = 65536
"""Capacity of the queue in messages: 20 s of a full MIDI cable. rtmidi drops newer ones beyond that."""

FAILURES = (rtmidi.RtMidiError, RuntimeError, SystemError, OSError, NotImplementedError, ValueError)
"""Exceptions of rtmidi, including those from a port that disappears between two of its calls."""


@dataclass(eq=False)
class System:
    """MIDI system, with its open ports."""

    api: int
    inputs: list[Any] = field(default_factory=list)  # the first may be unopened, for lists only
    asks_at: float = 0.0  # time of the next request after a missing answer
    known: list[str] = field(default_factory=list)  # inputs of other programs at the last scan

    @property
    def name(self) -> str:
        """Return rtmidi's name of it."""
        return str(rtmidi.get_api_display_name(self.api))

    @property
    def is_jack(self) -> bool:
        """Return whether it is a JACK server, where each open port is a client with a thread."""
        return bool(self.api == rtmidi.API_UNIX_JACK)

    @property
    def answers(self) -> bool:
        """Return whether it has answered."""
        return bool(self.inputs)

    def names(self) -> list[str]:
        """Return the inputs of other programs; empty if the system does not answer."""
        if not self.inputs:
            made = self._make_input() if time.monotonic() >= self.asks_at else None
            if made is None:
                return []
            self.inputs.append(made)
        # rtmidi counts the ports, then asks for each: one that disappears in between is an error of the list.
        with contextlib.suppress(*FAILURES):
            self.known = foreign([name for name in self.inputs[0].get_ports() if name])
        return self.known

    def open(self, name: str | None) -> Any:
        """Open the input `name`, or a virtual one; return it. Raise one of `FAILURES`."""
        spare = self.inputs[0] if self.inputs and not self.inputs[0].is_port_open() else None
        opened = spare or self._make_input()
        if opened is None:
            raise RuntimeError(f"{self.name} does not answer")
        if spare is None:
            self.inputs.append(opened)
        try:
            opened.ignore_types(sysex=True, timing=True, active_sense=True)
            if name is None:
                opened.open_virtual_port(OWN_PORT)
            else:
                opened.open_port(opened.get_ports().index(name), OWN_PORT)
        except FAILURES:
            self.close(opened)
            raise
        return opened

    def close(self, opened: Any) -> None:
        """Close an input."""
        self.inputs.remove(opened)
        _close(opened)

    def _make_input(self) -> Any | None:
        """Return an unopened input, or None if the system does not answer."""
        try:
            return rtmidi.MidiIn(self.api, name=OWN_CLIENT, queue_size_limit=QUEUE)
        except FAILURES:
            self.asks_at = time.monotonic() + ANSWER_S
            return None


class Output:
    """Output to one controller, or a virtual port."""

    def __init__(self, system: System, client: str = OWN_OUTPUT) -> None:
        """Create a closed output. Raise one of `FAILURES`."""
        self._output = rtmidi.MidiOut(system.api, name=client)
        self.name = ""  # name of the destination

    def names(self) -> list[str]:
        """Return all destinations, including rtsep's. Raise one of `FAILURES`."""
        return [name for name in self._output.get_ports() if name]

    def open(self, name: str | None) -> None:
        """Open a connection to `name`, or a virtual port. Raise one of `FAILURES`."""
        if name is None:
            self._output.open_virtual_port(OWN_PORT)
        else:
            self._output.open_port(self._output.get_ports().index(name), OWN_PORT)
        self.name = name or ""

    def send(self, messages: Sequence[Sequence[int]]) -> None:
        """Send the messages; unsent ones are lost."""
        for message in messages:
            with contextlib.suppress(*FAILURES):
                self._output.send_message(message)

    def close(self) -> None:
        """Close it."""
        _close(self._output)


def systems() -> list[System]:
    """Return the systems that rtmidi supports here, the native one before JACK."""
    return sorted(map(System, rtmidi.get_compiled_api()), key=lambda system: system.is_jack)


def _close(port: Any) -> None:
    with contextlib.suppress(*FAILURES):  # its controller may be gone
        port.close_port()
    port.delete()
