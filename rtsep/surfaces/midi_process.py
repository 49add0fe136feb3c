"""MIDI ports in a process of their own. The one importer of rtmidi.

    python -m rtsep.surfaces.midi_process WANTED    (a JSON list of names; "virtual", or "" for every port)
    python -m rtsep.surfaces.midi_process --list

rtmidi holds the GIL through every call, and a sound server that hangs never returns from one: inside of the
session, a controller that is plugged in at the wrong moment would stop all of Python. On JACK its callback
moreover takes the GIL on the server's time. So the ports live here, messages wait in rtmidi's own queue,
filled without Python, and this loop empties it every millisecond. A process that hangs is replaced
(`rtsep.surfaces.midi_ports`).

Speaks JSON lines on standard output:

    {"ports": {SYSTEM: [NAME, ...]}}      the inputs of others, whenever they change, first of all
    {"scanned": true}                     once, when all that is there and wanted has been opened
    {"opened": KEY, "name": NAME, "system": SYSTEM, "others": [NAME, ...]}
    {"output": KEY}                       the port takes feedback from now on
    {"closed": KEY}
    {"failed": KEY, "name": NAME, "why": REASON}
    {"from": KEY, "messages": [[176, 1, 64], ...]}
    {"alive": SECONDS}                    twice a second
    {"broken": REASON}                    its last words

KEY counts the wanted names from 0; ports that are open because all are wanted come after them. Reads `{"to":
KEY, "messages": [...]}` on standard input, and leaves with it.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import rtmidi

from rtsep.realtime import priority
from rtsep.surfaces.midi_names import (
    ALL,
    OWN_CLIENT,
    OWN_OUTPUT,
    OWN_PORT,
    VIRTUAL,
    foreign,
    lasting,
    matching,
    split_system,
    twin,
)

PRIORITY = 2  # over everything ordinary, under everything that carries audio
POLL_S = 0.001
SCAN_S = 0.1
"""A controller that leaves and returns within this is not seen to have left."""

ALIVE_S = 0.5
ANSWER_S = 1.0  # how often a MIDI system that did not answer is asked again
QUEUE = 65536
"""Messages that wait for us at most: 20 s of what a cable carries. rtmidi drops the newest beyond."""

MOST_AT_ONCE = 4096

OUTPUT_AFTER_S = (0.2, 2.0)
"""When, after an input has opened, its output is looked for: it may appear a little later."""

_FAILURES = (rtmidi.RtMidiError, RuntimeError, SystemError, OSError, NotImplementedError)


def systems() -> list[int]:
    """Return rtmidi's numbers of the MIDI systems of this machine, the native one before JACK."""
    return sorted(rtmidi.get_compiled_api(), key=lambda api: bool(api == rtmidi.API_UNIX_JACK))


def make_input(api: int) -> Any | None:
    """Return an unopened `rtmidi.MidiIn`, or None where the system does not answer."""
    try:
        return rtmidi.MidiIn(api, name=OWN_CLIENT, queue_size_limit=QUEUE)
    except _FAILURES:
        return None


@dataclass(eq=False)
class System:
    """One MIDI system, and what is open on it."""

    api: int
    inputs: list[Any] = field(default_factory=list)  # the first may be unopened, for lists only
    asked_at: float = -ANSWER_S

    @property
    def name(self) -> str:
        """As rtmidi calls it."""
        return str(rtmidi.get_api_display_name(self.api))

    def names(self) -> list[str]:
        """Return the inputs of others; none where the system does not answer."""
        if not self.inputs:
            if time.monotonic() - self.asked_at < ANSWER_S:
                return []
            self.asked_at = time.monotonic()
            made = make_input(self.api)
            if made is None:
                return []
            self.inputs.append(made)
        return foreign([name for name in self.inputs[0].get_ports() if name])

    def open(self, name: str | None) -> Any:
        """Open the input `name`, or one of our own; returns it. Every one open is one more client on JACK."""
        spare = self.inputs[0] if self.inputs and not self.inputs[0].is_port_open() else None
        opened = spare or make_input(self.api)
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
        except (*_FAILURES, ValueError):
            self.close(opened)
            raise
        return opened

    def close(self, opened: Any) -> None:
        """Close an input."""
        self.inputs.remove(opened)
        opened.close_port()
        opened.delete()


@dataclass(eq=False)
class Link:
    """One wanted port."""

    key: int
    text: str  # as asked for, without the system
    system_name: str | None  # the only one that is meant
    system: System | None = None  # where it is open
    input: Any = None
    output: Any = None
    name: str = ""  # of the port; of the last one while it is away
    tries: list[float] = field(default_factory=list)  # when to look for its output
    failed: str = ""
    passing: bool = False  # here because every port is wanted: forgotten when it leaves

    @property
    def virtual(self) -> bool:
        """Whether it is a port of our own."""
        return self.text.lower() == VIRTUAL

    @property
    def is_open(self) -> bool:
        """Whether it is there."""
        return self.input is not None


class Ports:
    """All wanted ports: opened when they come, closed when they leave, emptied of what they bring."""

    def __init__(self, wanted: list[str], tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._systems = [System(api) for api in systems()]
        self._links = [
            Link(key, text, system)
            for key, (system, text) in enumerate(map(split_system, wanted))
            if text != ALL
        ]
        self._all = len(self._links) < len(wanted)
        self._next_key = len(wanted)
        self._told: dict[str, list[str]] | None = None
        self._scanned = False

    @property
    def uses_jack(self) -> bool:
        """Whether we are on a JACK server."""
        return any(system.inputs for system in self._systems if system.api == rtmidi.API_UNIX_JACK)

    def scan(self) -> None:
        """See who came and who left."""
        there: dict[str, list[str]] = {}
        wants_jack = self._all or any(not link.is_open for link in self._links)
        for system in self._systems:
            # Where the native system has all that is wanted, JACK need not carry one client more.
            if system.api != rtmidi.API_UNIX_JACK or wants_jack or system.inputs or not any(there.values()):
                there[system.name] = system.names()
        for link in [link for link in self._links if link.is_open and not link.virtual]:
            assert link.system
            if link.name not in there.get(link.system.name, []):
                self._close(link)
        if there != self._told:
            self._told = there
            self._tell({"ports": there})
        for link in [link for link in self._links if not link.is_open]:
            self._find(link, there)
        if self._all:
            self._open_all(there)
        for link in self._links:
            if link.tries and time.monotonic() >= link.tries[0]:
                link.tries.pop(0)
                self._find_output(link)
        if not self._scanned:
            self._scanned = True
            self._tell({"scanned": True})

    def _find(self, link: Link, there: dict[str, list[str]]) -> None:
        taken = {(other.system, other.name) for other in self._links if other.is_open}
        for system in self._systems:
            if link.system_name not in (None, system.name):
                continue
            if link.virtual:
                if system.inputs:  # it has answered
                    self._open(link, system, None, [])
                    return
                continue
            names = [name for name in there.get(system.name, []) if (system, name) not in taken]
            fits = matching(link.text, names)
            if fits:
                again = [name for name in fits if lasting(name) == lasting(link.name)]
                chosen = (again or fits)[0]
                self._open(link, system, chosen, [name for name in fits if name != chosen and not again])
                return

    def _open_all(self, there: dict[str, list[str]]) -> None:
        known = {(link.system, link.name) for link in self._links if link.is_open}
        for system in self._systems:
            for name in there.get(system.name, []):
                if (system, name) not in known:
                    link = Link(self._next_key, name, system.name, passing=True)
                    self._next_key += 1
                    self._links.append(link)
                    self._open(link, system, name, [])

    def _open(self, link: Link, system: System, name: str | None, others: list[str]) -> None:
        try:
            link.input = system.open(name)
        except (*_FAILURES, ValueError) as error:
            if str(error) != link.failed:
                link.failed = str(error)
                self._tell({"failed": link.key, "name": name or VIRTUAL, "why": link.failed})
            return
        link.system, link.name, link.failed = system, name or OWN_PORT, ""
        now = time.monotonic()
        link.tries = [now] if link.virtual else [now + after for after in OUTPUT_AFTER_S]
        self._tell({"opened": link.key, "name": link.name, "system": system.name, "others": others})

    def _find_output(self, link: Link) -> None:
        assert link.system
        try:
            output = rtmidi.MidiOut(link.system.api, name=OWN_OUTPUT)
            if link.virtual:
                output.open_virtual_port(OWN_PORT)
            else:
                names = output.get_ports()
                name = twin(link.name, foreign([name for name in names if name]))
                if name is None:
                    output.delete()
                    return
                output.open_port(names.index(name), OWN_PORT)
        except _FAILURES:
            return
        link.output, link.tries = output, []
        self._tell({"output": link.key})

    def _close(self, link: Link) -> None:
        assert link.system
        if link.output is not None:
            link.output.close_port()
            link.output.delete()
        link.system.close(link.input)
        link.input = link.output = None
        link.tries = []
        self._tell({"closed": link.key})
        if link.passing:
            self._links.remove(link)

    def drain(self) -> None:
        """Tell what came since the last time."""
        for link in self._links:
            if link.input is None:
                continue
            batch: list[list[int]] = []
            while len(batch) < MOST_AT_ONCE and (got := link.input.get_message()) is not None:
                batch.append(got[0])
            if batch:
                self._tell({"from": link.key, "messages": batch})

    def send(self, key: int, messages: list[list[int]]) -> None:
        """Send to the controller of a link, if it can be sent to."""
        for link in self._links:
            if link.key == key and link.output is not None:
                for message in messages:
                    with contextlib.suppress(*_FAILURES):
                        link.output.send_message(message)


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _leave_with_jack() -> Any:
    """Have this process end with the JACK server that is running now: rtmidi would not notice.

    A client that is never activated takes no part in a period.
    """
    try:
        import jack

        client = jack.Client("rtsep-midi-watch", no_start_server=True)
        client.set_shutdown_callback(lambda *_: os._exit(0))
    except Exception:
        return None
    return client


def _listen(commands: collections.deque[dict[str, Any]]) -> None:
    for line in sys.stdin:
        commands.append(json.loads(line))
    os._exit(0)  # our parent is gone


def serve(wanted: list[str]) -> None:
    """Run until standard input ends."""
    commands: collections.deque[dict[str, Any]] = collections.deque()
    threading.Thread(target=_listen, args=(commands,), daemon=True).start()
    priority.raise_thread_priority(PRIORITY)
    ports = Ports(wanted, _tell)
    watch: Any = None
    scan_at = alive_at = 0.0
    while True:
        ports.drain()
        while commands:
            command = commands.popleft()
            ports.send(command["to"], command["messages"])
        now = time.monotonic()
        if now >= alive_at:
            alive_at = now + ALIVE_S
            if watch is None and ports.uses_jack:
                watch = _leave_with_jack()
            _tell({"alive": round(now, 3)})
        if now >= scan_at:
            ports.scan()
            scan_at = time.monotonic() + SCAN_S
        time.sleep(POLL_S)


def main() -> None:
    """List, or serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes our input
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # ALSA and JACK name everything that is not there
    if sys.argv[1] == "--list":
        _tell({system.name: system.names() for system in map(System, systems())})
        return
    try:
        serve(json.loads(sys.argv[1]))
    except Exception as error:
        _tell({"broken": f"{type(error).__name__}: {error}"})
        raise


if __name__ == "__main__":
    main()
