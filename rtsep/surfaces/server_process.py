"""A server beside a session in its own process: its start, its end, and its restart after a crash.

The process reads one line, its task, from standard input, writes lines of `EVENTS` to standard output, and
ends when standard input closes. It reaches the session through its socket.
"""

from __future__ import annotations

import contextlib
import ipaddress
import subprocess
import sys
import threading
from collections.abc import Callable

from rtsep.errors import NoThreadError, OutputError, UsageError
from rtsep.realtime import threads
from rtsep.realtime.child_process import command_of, environment
from rtsep.realtime.waiting import wait_for
from rtsep.realtime.wire import Message, Wire, WireError, encode
from rtsep.surfaces.remote.place import supported

START_WITHIN_S = 20.0
_END_WITHIN_S = 3.0
_AGAIN_S = 1.0


class Serving(Message, frozen=True):
    """The server is ready."""

    port: int


class Failed(Message, frozen=True):
    """The server cannot start."""

    why: str


class Line(Message, frozen=True):
    """Line for the user."""

    line: str


Event = Serving | Failed | Line
EVENTS: Wire[Event] = Wire(Event)


def send_event(event: Event) -> None:
    """Write an event; called in the process."""
    with contextlib.suppress(OSError):  # the parent has ended: standard input closes as well
        sys.stdout.write(encode(event))
        sys.stdout.flush()


def end_with_parent(thread: str, stop: Callable[[], None]) -> None:
    """Call `stop`, on a `thread` of that name, once standard input ends; in the process.

    End the process with a `Failed` event if no thread can be started.
    """

    def wait() -> None:
        sys.stdin.read()
        stop()

    try:
        threads.start(threading.Thread(target=wait, name=thread, daemon=True))
    except NoThreadError as error:
        send_event(Failed(str(error)))
        sys.exit(error.exit_code)


def require_socket(option: str, what: str, remote: bool) -> None:
    """Raise `UsageError` if the session has no socket, which `what` of command line `option` needs.

    `remote` is whether the user lets others attach to the session.
    """
    if not supported():
        raise UsageError(
            f"{option}: {what} needs Unix sockets, which Python lacks on this system; leave {option} out"
        )
    if not remote:
        raise UsageError(
            f"{option}: {what} reaches the session like 'rtsep attach' does; leave --no-remote out"
        )


def is_near(peer: str) -> bool:
    """Return whether an address is of this machine or of a private network."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_link_local


class ServerProcess:
    """Server beside the session."""

    def __init__(
        self,
        module: str,
        thread: str,
        what: str,
        task: Callable[[int | None], Message],
        notify: Callable[[str], None],
    ) -> None:
        """Let `main` of `module` serve, watched by a `thread` of that name.

        `what` names it in lines for the user, which `notify` receives.

        `task(port)` returns its task; `port` is the previous port, None at first.
        """
        self._module, self._what, self._task, self._notify = module, what, task, notify
        self._leaving = threading.Event()
        self._begun = threading.Event()
        self.process: subprocess.Popen[str] | None = None
        self._port: int | None = None
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name=thread, daemon=True)

    def start(self) -> int:
        """Start the server and return its port. Raise `OutputError` if that fails."""
        try:
            threads.start(self._thread)
        except NoThreadError as error:
            raise OutputError(f"no {self._what}: {error}") from None
        if not wait_for(self._begun, START_WITHIN_S):
            self._failure = f"it has not started within {START_WITHIN_S:g} s"
        if self._port is None:
            self.close()
            raise OutputError(f"no {self._what}: {self._failure}")
        return self._port

    def close(self) -> None:
        """End it."""
        self._leaving.set()
        process = self.process
        if process:
            with contextlib.suppress(OSError):
                assert process.stdin
                process.stdin.close()
            try:
                process.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._thread.ident:
            self._thread.join(_END_WITHIN_S)

    # --- on the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._leaving.is_set():
            self._serve()
            if self._failure or self._port is None:
                break
            if not self._leaving.wait(_AGAIN_S):
                self._notify(f"the process of the {self._what} has ended and is restarted")
        if self._begun.is_set() and self._failure:
            self._notify(f"no {self._what} any more: {self._failure}")
        self._begun.set()

    def _serve(self) -> None:
        """Run one process to its end."""
        try:
            process = subprocess.Popen(
                command_of(self._module),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment(),
                text=True,
                start_new_session=True,  # the session handles Ctrl-C, and its end closes the server
            )
        except OSError as error:
            self._failure = f"its process cannot be started ({error.strerror})"
            return
        self.process = process
        assert process.stdin and process.stdout
        with contextlib.suppress(OSError):  # it has ended, and its output has the reason
            process.stdin.write(encode(self._task(self._port)))
            process.stdin.flush()
        for line in process.stdout:
            try:
                event = EVENTS.decode(line)
            except WireError:
                continue  # output of a library
            match event:
                case Serving(port=port):
                    self._port = port
                    self._begun.set()
                case Failed(why=why):
                    self._failure = why
                case Line(line=words):
                    self._notify(words)
        process.wait()
        if self._port is None and not self._failure:
            self._failure = f"its process has ended with code {process.returncode}"
