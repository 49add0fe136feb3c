"""Starts the page's server beside a session, starts it again where it ends, and knows the addresses."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass

from rtsep.errors import OutputError
from rtsep.realtime.child_process import command_of, environment
from rtsep.realtime.waiting import wait_for
from rtsep.realtime.wire import WireError, encode
from rtsep.surfaces.page.address import Where, lan_address, url
from rtsep.surfaces.page.keys import Keys
from rtsep.surfaces.page.process import EVENTS, Failed, Serving, Task, Tell

START_WITHIN_S = 20.0
_END_WITHIN_S = 3.0
_AGAIN_S = 1.0


@dataclass(frozen=True)
class Addresses:
    """Where the page is."""

    here: str  # for a browser of this machine
    phone: str  # for one in the local network; "": the page is not served there
    audience: str  # for those who may only read


class Page:
    """The page of the session `name`. A context manager."""

    def __init__(self, name: str, where: Where, keys: Keys, say: Callable[[str], None], fresh: bool) -> None:
        """`say` gets lines for the user. `fresh`: nothing has been chosen yet."""
        self._task = Task(name, keys.turning, keys.reading, where.host, where.lan, where.port, fresh)
        self._say = say
        self._leaving = threading.Event()
        self._begun = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._port: int | None = None
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    def start(self) -> Addresses:
        """Serve, and return where. Raises `OutputError` where that cannot be."""
        self._thread.start()
        if not wait_for(self._begun, START_WITHIN_S):
            self.close()
            raise OutputError(f"the page's server has not started within {START_WITHIN_S:g} s")
        if self._port is None:
            self.close()
            raise OutputError(f"no page: {self._failure}")
        return self.addresses

    @property
    def addresses(self) -> Addresses:
        """Where the page is, once it is served."""
        assert self._port
        task, port = self._task, self._port
        other = lan_address() if task.lan else ""
        return Addresses(
            url("127.0.0.1", port, task.turning),
            url(other, port, task.turning) if other else "",
            url(other or "127.0.0.1", port, task.reading),
        )

    def close(self) -> None:
        """End the server."""
        self._leaving.set()
        process = self._process
        if process:
            try:
                assert process.stdin
                process.stdin.close()
            except OSError:
                pass
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
                self._say("the page's server has ended and is started again")
        self._begun.set()

    def _serve(self) -> None:
        """Run one process to its end."""
        task = self._task
        if self._port is not None:  # the same address as before
            task = Task(task.session, task.turning, task.reading, task.host, task.lan, self._port, task.fresh)
        try:
            process = subprocess.Popen(
                command_of("rtsep.surfaces.page.process"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment(),
                text=True,
                start_new_session=True,  # Ctrl-C is for the session, whose end the page shows
            )
        except OSError as error:
            self._failure = f"its server cannot be started ({error.strerror})"
            return
        self._process = process
        assert process.stdin and process.stdout
        try:
            process.stdin.write(encode(task))
            process.stdin.flush()
        except OSError:
            pass  # it has ended, and its output says why
        for line in process.stdout:
            try:
                event = EVENTS.decode(line)
            except WireError:
                continue  # what a library prints
            match event:
                case Serving(port=port):
                    self._port = port
                    self._begun.set()
                case Failed(why=why):
                    self._failure = why
                case Tell(line=words):
                    self._say(words)
        process.wait()
        if self._port is None and not self._failure:
            self._failure = f"its server has ended with code {process.returncode}"
