"""MIDI ports in their own process.

    TASK        a line of `rtsep.surfaces.midi.protocol.TASKS`

rtmidi holds the GIL during every call, and a call into a hanging sound server never returns: inside the
session, a controller plugged in at the wrong moment would stop all of Python. On JACK its callback also takes
the GIL during the server's cycle. Therefore this process holds the ports; messages wait in rtmidi's own
queue, which needs no Python, and this loop empties it every millisecond. A hanging process is replaced
(`rtsep.surfaces.midi.ports`).

It writes lines of `protocol.EVENTS` to standard output, reads lines of `protocol.COMMANDS` from standard
input, and ends with it.
"""

from __future__ import annotations

import collections
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from rtsep.realtime import priority, threads
from rtsep.realtime.wire import WireError, encode
from rtsep.surfaces.midi.links import Links
from rtsep.surfaces.midi.protocol import COMMANDS, TASKS, Alive, Broken, Event, List, Ports, Send
from rtsep.surfaces.midi.systems import FAILURES, System, systems

if TYPE_CHECKING:
    from rtsep.surfaces.midi.jack_watch import JackWatch

PRIORITY = 2  # above all ordinary threads, below all audio threads
POLL_S = 0.001
SCAN_S = 0.1
"""Interval of scans in seconds: a controller that returns within it is not noticed as missing."""

ALIVE_S = 0.5


def serve(wanted: list[str]) -> None:
    """Hold the ports of `wanted` until standard input closes. Raise `WireError` for a malformed command."""
    commands: collections.deque[Send | WireError] = collections.deque()
    threads.start(threading.Thread(target=_read_commands, args=(commands,), daemon=True))
    priority.raise_thread_priority(PRIORITY)
    here = systems()
    links = Links(wanted, here, _send_event)
    watch: JackWatch | None = None
    scan_at = alive_at = 0.0
    brought = 0  # messages since the last call of the watch
    while True:
        brought += links.drain()
        while commands:
            command = commands.popleft()
            if isinstance(command, WireError):
                raise command
            links.send(command.key, command.messages)
        now = time.monotonic()
        if now >= alive_at:
            alive_at = now + ALIVE_S
            watch = watch or _watch_jack(here)
            if watch:
                watch.tend(brought)
            brought = 0
            _send_event(Alive(round(now, 3)))
        if now >= scan_at:
            links.scan()
            scan_at = time.monotonic() + SCAN_S
        time.sleep(POLL_S)


def _watch_jack(here: list[System]) -> JackWatch | None:
    """Return the watch of the JACK server in use, None without one."""
    server = next((system for system in here if system.is_jack and system.answers), None)
    if server is None:
        return None
    try:
        from rtsep.surfaces.midi.jack_watch import JackWatch

        return JackWatch(server)
    except (ImportError, *FAILURES):  # JACK-Client is missing, or the server has ended
        return None


def _send_event(event: Event) -> None:
    sys.stdout.write(encode(event))
    sys.stdout.flush()


def _read_commands(commands: collections.deque[Send | WireError]) -> None:
    for line in sys.stdin:
        try:
            commands.append(COMMANDS.decode(line))
        except WireError as error:
            commands.append(error)  # ends the other thread, and the process
            return
    os._exit(0)  # the parent has ended


def main() -> None:
    """Run the task of the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes standard input
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # ALSA and JACK report every missing device
    try:
        task = TASKS.decode(sys.argv[1])
        if isinstance(task, List):
            _send_event(Ports({system.name: system.names() for system in systems()}))
        else:
            serve(task.wanted)
    except Exception as error:
        _send_event(Broken(f"{type(error).__name__}: {error}"))
        raise


if __name__ == "__main__":
    main()
