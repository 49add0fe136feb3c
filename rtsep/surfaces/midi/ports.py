"""MIDI ports for the session: the process that holds them is started, watched and replaced."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rtsep.errors import NoThreadError, RtsepError
from rtsep.realtime import priority, threads
from rtsep.realtime.child_process import command_of, environment, require_python
from rtsep.realtime.stops import Stops
from rtsep.realtime.wire import WireError, encode
from rtsep.surfaces.midi import protocol
from rtsep.surfaces.midi.messages import Message

_PROCESS = command_of("rtsep.surfaces.midi.process")

LIST_PATIENCE_S = 5.0
START_PATIENCE_S = 5.0
HANG_PATIENCE_S = 3.0
"""Time limit of silence in seconds: the process reports twice a second; a silent one hangs in a call."""

FIRST_PATIENCE_S = 30.0
"""Time limit of the first line in seconds: loading Python can take long on a busy machine or a cold disk."""

RETRY_S = 0.5
_LOOK_EVERY_S = 0.1
_PRIORITY = 2  # the process's own priority: above all ordinary threads, below all audio threads


MISSING = (
    "MIDI needs the package python-rtmidi, which is not installed: pip install 'rtsep[midi]', "
    "or in a clone make live MIDI=yes (docs/install.md has what that takes)"
)


def missing() -> str:
    """Return a line with the package to install if MIDI is impossible here, else ""."""
    return "" if importlib.util.find_spec("rtmidi") else MISSING


@dataclass(frozen=True)
class MidiPort:
    """Input port of one MIDI system."""

    name: str
    api: str


def input_ports() -> list[MidiPort]:
    """Return the MIDI inputs of every system that answers; an empty list is no error."""
    if missing():
        return []
    try:
        answer = subprocess.run(
            [*_PROCESS, encode(protocol.List()).rstrip()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            timeout=LIST_PATIENCE_S,
        ).stdout
        there = protocol.EVENTS.decode(answer)
    except (subprocess.TimeoutExpired, WireError, OSError):
        return []
    if not isinstance(there, protocol.Ports):
        return []
    return [MidiPort(name, api) for api, names in there.ports.items() for name in names]


@dataclass
class OpenPort:
    """Wanted port."""

    name: str
    there: bool = True
    accepts_feedback: bool = False  # it has an output that accepts feedback


class MidiPorts:
    """Keeps the process running and passes its events on, on a separate thread."""

    def __init__(
        self,
        wanted: Sequence[str],
        on_messages: Callable[[int, Sequence[Message]], None],
        on_port: Callable[[protocol.Event], None],
    ) -> None:
        """`on_messages(key, messages)` receives messages of a port, `on_port(event)` all other events.

        `wanted` as for `Links`.
        """
        self._command = [*_PROCESS, encode(protocol.Hold(list(wanted))).rstrip()]
        self._on_messages, self._on_port = on_messages, on_port
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._hangs_at = 0.0  # monotonic time after which silence is a hang
        self._scanned, self._leaving = threading.Event(), threading.Event()
        self._watcher: threading.Thread | None = None
        self._sending = threading.Lock()
        self.open: dict[int, OpenPort] = {}
        self.here: list[str] = []  # names of all inputs
        self.restarts = 0

    def start(self) -> bool:
        """Start; return whether the process has finished its first scan (if not, it continues).

        Raise `OSError` or `NoThreadError`, and leave no process, if that fails.
        """
        self._spawn()
        watcher = threading.Thread(target=self._watch, name="midi-watcher", daemon=True)
        try:
            threads.start(watcher)
        except NoThreadError:
            self.close()
            raise
        self._watcher = watcher
        return self._scanned.wait(START_PATIENCE_S)

    def close(self) -> None:
        """End the process."""
        self._leaving.set()
        if self._watcher:
            self._watcher.join()
        if self._process:
            self._end(self._process, patience=1.0)

    def send(self, key: int, messages: list[list[int]]) -> None:
        """Send to a port; messages to a hanging process are lost."""
        process = self._process
        if process is None or process.stdin is None:
            return
        line = encode(protocol.Send(key, messages)).encode()
        with self._sending, contextlib.suppress(OSError, ValueError):
            process.stdin.write(line)
            process.stdin.flush()

    # --- the process -------------------------------------------------------------------------------------

    def _spawn(self) -> None:
        require_python(self._command)
        self._hangs_at = time.monotonic() + FIRST_PATIENCE_S
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),  # it may start during a device search that keeps PortAudio away from JACK
        )
        reader = threading.Thread(target=self._read, args=(process,), name="midi", daemon=True)
        try:
            threads.start(reader)
        except NoThreadError:
            self._end(process, patience=0.0)
            raise
        self._process, self._reader = process, reader

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        priority.raise_thread_priority(_PRIORITY)
        assert process.stdout
        for line in process.stdout:
            self._hangs_at = time.monotonic() + HANG_PATIENCE_S
            if not line.endswith(b"\n"):  # cut off by its end
                return
            try:
                event = protocol.EVENTS.decode(line)
            except WireError as error:
                self._note(protocol.Broken(str(error)))
                self._hangs_at = 0.0  # it is replaced at once
                return
            if isinstance(event, protocol.Received):
                self._on_messages(event.key, event.messages)
            elif not isinstance(event, protocol.Alive):
                self._note(event)

    def _note(self, event: protocol.Event) -> None:
        match event:
            case protocol.Ports(ports=ports):
                self.here = [name for names in ports.values() for name in names]
            case protocol.Opened(key=key, name=name):
                self.open[key] = OpenPort(name)
            case protocol.Output(key=key):
                self.open[key].accepts_feedback = True
            case protocol.Closed(key=key) if key in self.open:
                self.open[key].there = self.open[key].accepts_feedback = False
        self._on_port(event)
        if isinstance(event, protocol.Scanned):
            self._scanned.set()

    def _watch(self) -> None:
        stops = Stops()
        while not self._leaving.wait(_LOOK_EVERY_S):
            self._hangs_at += stops.look()  # the process may have stood still for the same time
            process = self._process
            assert process
            if process.poll() is None and time.monotonic() < self._hangs_at:
                continue
            self._end(process, patience=0.0)
            if self._reader:  # its messages come before its end: a late button press would never be released
                self._reader.join(HANG_PATIENCE_S)
            for key, port in list(self.open.items()):
                if port.there:
                    self._note(protocol.Closed(key))
            self.restarts += 1
            while not self._leaving.wait(RETRY_S):
                with contextlib.suppress(OSError, RtsepError):  # no handles, memory or Python: try once more
                    self._spawn()
                    break

    @staticmethod
    def _end(process: subprocess.Popen[bytes], patience: float) -> None:
        assert process.stdin and process.stdout
        if patience:
            with contextlib.suppress(OSError):
                process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
        if process.poll() is None:
            process.kill()
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait()
