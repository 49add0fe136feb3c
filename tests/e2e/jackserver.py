"""A private JACK server for one test: the dummy driver, a name of its own, gone with the test."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import jack

from tests.e2e.claims import try_claim

START_PATIENCE_S = 30.0
NAME_PATIENCE_S = 300.0
"""Runs beside this one may have all names. A test holds one for some seconds."""

NAMES = [f"rtsep-test-{number}" for number in range(4)]
"""Few, and used again and again: JACK's registry holds eight servers, and one that was killed keeps its place
there until a server of the same name comes."""


class NameTaken(RuntimeError):
    """A server of this name still runs: it is dead but not yet reaped, or nobody's who claims its name."""


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends, however that happens (Linux)."""
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class JackServer:
    """One jackd with two capture and four playback ports, synchronous so that a clean run is exact."""

    def __init__(self, rate: int = 44100, period: int = 256, playback: int = 4, capture: int = 2) -> None:
        self.rate, self.period = rate, period
        self._playback, self._capture = playback, capture
        self._process: subprocess.Popen[bytes] | None = None
        self._claim: IO[str] | None = None  # held while the server is down, too: it may be started again
        until = time.monotonic() + NAME_PATIENCE_S
        while not any(map(self._start_as, NAMES)):
            if time.monotonic() > until:
                raise RuntimeError(
                    f"JACK servers called {', '.join(NAMES)} are running; end those left behind"
                )
            time.sleep(0.1)

    def _start_as(self, name: str) -> bool:
        """Start under `name`; return False while another one has it."""
        self._claim = try_claim(name)
        if self._claim is None:
            return False
        self.name = name
        self.log = Path(tempfile.gettempdir()) / f"{name}-{os.getpid()}.log"
        try:
            self.start()
        except NameTaken:
            self.remove()
            return False
        except BaseException:
            self.remove()
            raise
        return True

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which a client's process finds this server and no other."""
        return os.environ | {"JACK_DEFAULT_SERVER": self.name, "JACK_NO_AUDIO_RESERVATION": "1"}

    def start(self) -> None:
        """Start (again, under the same name) and wait until clients can come."""
        if self._answers():
            self.log.touch()
            raise NameTaken
        said_before = self.log.stat().st_size if self.log.exists() else 0
        command = [
            *("jackd", "-n", self.name, "-R", "-S", "-d", "dummy"),
            *("-r", str(self.rate), "-p", str(self.period)),
            *("-C", str(self._capture), "-P", str(self._playback)),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                preexec_fn=die_with_parent,
            )
        atexit.register(self.stop)
        until = time.monotonic() + START_PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                said = self.log.read_bytes()[said_before:].decode()
                raise (NameTaken if "already active" in said else RuntimeError)(f"no jackd:\n{said}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            client = self.client("probe")
        except jack.JackError:
            return False
        client.close()
        return True

    def client(self, name: str) -> jack.Client:
        """Open a client of this server; one that runs but answers with an error is asked once more."""
        jack.set_error_function(lambda _: None)
        jack.set_info_function(lambda _: None)
        try:
            return jack.Client(name, no_start_server=True, servername=self.name)
        except jack.JackOpenError as error:
            if not error.status.server_error:
                raise
        return jack.Client(name, no_start_server=True, servername=self.name)

    def send(self, number: int) -> None:
        """Send the server a signal, if it still runs."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End the server, by its own process id, and wait for it."""
        atexit.unregister(self.stop)
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def remove(self) -> None:
        """End the server, remove its log and give its name back."""
        self.stop()
        self.log.unlink(missing_ok=True)
        if self._claim:
            self._claim.close()

    def __enter__(self) -> JackServer:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()
