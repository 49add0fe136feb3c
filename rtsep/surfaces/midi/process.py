"""MIDI ports in a process of their own.

    TASK        a line of `rtsep.surfaces.midi.protocol.TASKS`

rtmidi holds the GIL through every call, and a sound server that hangs never returns from one: inside of the
session, a controller that is plugged in at the wrong moment would stop all of Python. On JACK its callback
moreover takes the GIL on the server's time. So the ports live here, messages wait in rtmidi's own queue,
filled without Python, and this loop empties it every millisecond. A process that hangs is replaced
(`rtsep.surfaces.midi.ports`).

Writes lines of `protocol.EVENTS` to standard output, reads lines of `protocol.COMMANDS` from standard input,
and ends with it.
"""

from __future__ import annotations

import collections
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from rtsep.realtime import priority
from rtsep.realtime.wire import WireError, encode
from rtsep.surfaces.midi.links import Links
from rtsep.surfaces.midi.protocol import COMMANDS, TASKS, Alive, Broken, Event, List, Ports, Send
from rtsep.surfaces.midi.systems import FAILURES, System, systems

if TYPE_CHECKING:
    from rtsep.surfaces.midi.jack_watch import JackWatch

PRIORITY = 2  # over everything ordinary, under everything that carries audio
POLL_S = 0.001
SCAN_S = 0.1
"""A controller that leaves and returns within this is not seen to have left."""

ALIVE_S = 0.5


def serve(wanted: list[str]) -> None:
    """Hold the ports of `wanted` until standard input ends. Raises `WireError` for a malformed command."""
    commands: collections.deque[Send | WireError] = collections.deque()
    threading.Thread(target=_listen, args=(commands,), daemon=True).start()
    priority.raise_thread_priority(PRIORITY)
    here = systems()
    links = Links(wanted, here, _tell)
    watch: JackWatch | None = None
    scan_at = alive_at = 0.0
    brought = 0  # messages since the watch was called last
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
            _tell(Alive(round(now, 3)))
        if now >= scan_at:
            links.scan()
            scan_at = time.monotonic() + SCAN_S
        time.sleep(POLL_S)


def _watch_jack(here: list[System]) -> JackWatch | None:
    """Return what watches the JACK server that we are on, None where we are on none."""
    server = next((system for system in here if system.is_jack and system.answers), None)
    if server is None:
        return None
    try:
        from rtsep.surfaces.midi.jack_watch import JackWatch

        return JackWatch(server)
    except (ImportError, *FAILURES):  # no JACK-Client here, or no server any more
        return None


def _tell(event: Event) -> None:
    sys.stdout.write(encode(event))
    sys.stdout.flush()


def _listen(commands: collections.deque[Send | WireError]) -> None:
    for line in sys.stdin:
        try:
            commands.append(COMMANDS.decode(line))
        except WireError as error:
            commands.append(error)  # ends the other thread, and the process
            return
    os._exit(0)  # our parent is gone


def main() -> None:
    """Do the task that stands on the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes our input
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # ALSA and JACK name everything that is not there
    try:
        task = TASKS.decode(sys.argv[1])
        if isinstance(task, List):
            _tell(Ports({system.name: system.names() for system in systems()}))
        else:
            serve(task.wanted)
    except Exception as error:
        _tell(Broken(f"{type(error).__name__}: {error}"))
        raise


if __name__ == "__main__":
    main()
