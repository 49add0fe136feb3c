"""MIDI ports in a process of their own.

    WANTED      a JSON list of names; "virtual", or "" for every port there is
    --list      name all inputs, once

rtmidi holds the GIL through every call, and a sound server that hangs never returns from one: inside of the
session, a controller that is plugged in at the wrong moment would stop all of Python. On JACK its callback
moreover takes the GIL on the server's time. So the ports live here, messages wait in rtmidi's own queue,
filled without Python, and this loop empties it every millisecond. A process that hangs is replaced
(`rtsep.surfaces.midi.ports`).

Speaks JSON lines on standard output:

    {"ports": {SYSTEM: [NAME, ...]}}      the inputs of others, whenever they change
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
import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from rtsep.realtime import priority
from rtsep.surfaces.midi.links import Links
from rtsep.surfaces.midi.systems import FAILURES, System, systems

if TYPE_CHECKING:
    from rtsep.surfaces.midi.jack_watch import JackWatch

PRIORITY = 2  # over everything ordinary, under everything that carries audio
POLL_S = 0.001
SCAN_S = 0.1
"""A controller that leaves and returns within this is not seen to have left."""

ALIVE_S = 0.5


def serve(wanted: list[str]) -> None:
    """Run until standard input ends."""
    commands: collections.deque[dict[str, Any]] = collections.deque()
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
            links.send(command["to"], command["messages"])
        now = time.monotonic()
        if now >= alive_at:
            alive_at = now + ALIVE_S
            watch = watch or _watch_jack(here)
            if watch:
                watch.tend(brought)
            brought = 0
            _tell({"alive": round(now, 3)})
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


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _listen(commands: collections.deque[dict[str, Any]]) -> None:
    for line in sys.stdin:
        commands.append(json.loads(line))
    os._exit(0)  # our parent is gone


def main() -> None:
    """List, or serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes our input
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # ALSA and JACK name everything that is not there
    if sys.argv[1] == "--list":
        _tell({system.name: system.names() for system in systems()})
        return
    try:
        serve(json.loads(sys.argv[1]))
    except Exception as error:
        _tell({"broken": f"{type(error).__name__}: {error}"})
        raise


if __name__ == "__main__":
    main()
