"""Commands to the thread that owns a session, and their queue.

The sender of a command waits for its outcome, a `Future`. Every command gets exactly one outcome: from the
owner, or from the queue if the session has ended. The queue's own lock is the only lock of a session.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtsep.errors import UsageError
from rtsep.model.package import ModelPackage

if TYPE_CHECKING:
    from rtsep.audio.devices import Device
    from rtsep.audio.source import FileSource
    from rtsep.session.recorder import Recorder


@dataclass(frozen=True, eq=False)
class Command:
    """Request to the owner. `outcome` gets the result or the error."""

    outcome: Future[Any] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play, because it has ended or has not started."""
        self.outcome.set_result(None)

    def answer(self, work: Callable[[], Any]) -> None:
        """Do `work`; its result or error becomes the outcome."""
        try:
            result = work()
        except Exception as error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(result)


@dataclass(frozen=True, eq=False)
class Play(Command):
    """Play as soon as everything is ready. Nobody waits for the outcome."""

    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)


@dataclass(frozen=True, eq=False)
class End(Command):
    """End the session. Nobody waits for the outcome."""

    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)


@dataclass(frozen=True, eq=False)
class Arrived(Command):
    """A helper thread has finished. Nobody waits for the outcome."""

    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)


@dataclass(frozen=True, eq=False)
class SwitchModel(Command):
    """Switch to another model; the outcome comes when it is active."""

    package: ModelPackage
    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play."""
        self.outcome.set_exception(
            UsageError("a model can be switched only during playback; try again when the session plays")
        )


@dataclass(frozen=True, eq=False)
class SwitchDevices(Command):
    """Switch the input, the output device, or both; None: unchanged."""

    input: str | None
    out_device: str | None
    loop: bool = False  # repeat the new input if it is a file
    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play."""
        self.outcome.set_exception(
            UsageError("devices can be switched only during playback; try again when the session plays")
        )


@dataclass(frozen=True, eq=False)
class ChangeFile(Command):
    """Change the playback of the file: `change` gets its source and the input frame now at the output."""

    change: Callable[[FileSource, int], None]
    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play."""
        self.outcome.set_exception(
            UsageError("the session has ended, and its file with it; start another session")
        )


@dataclass(frozen=True, eq=False)
class ListDevices(Command):
    """List the current devices."""

    outcome: Future[list[Device]] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play."""
        self.outcome.set_exception(
            UsageError("the session has ended and lists no devices; start another session")
        )


@dataclass(frozen=True, eq=False)
class StartRecording(Command):
    """Start a take in `folder`."""

    folder: Path
    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play."""
        self.outcome.set_exception(
            UsageError("the session has ended and cannot record; start another session")
        )


@dataclass(frozen=True, eq=False)
class StopRecording(Command):
    """End the take. The outcome is its recorder, which may still be writing; None: there is no take."""

    outcome: Future[Recorder | None] = field(default_factory=Future, init=False, repr=False)


class Inbox:
    """The queue of one session. Any thread and signal handler may send; only the owner receives."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Command] = queue.SimpleQueue()  # its `put` is reentrant
        self._closed = False

    def send(self, command: Command) -> None:
        """Send `command` to the owner; it is refused at once if the session has ended."""
        self._queue.put(command)
        if self._closed:  # checked after the `put`: either the owner's last check finds it, or this one does
            self._refuse_all()

    def receive(self, timeout_s: float | None) -> Command | None:
        """Wait for the next command, at most `timeout_s` seconds (None: no limit); return None on timeout."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Refuse all waiting and future commands: the owner receives nothing more."""
        self._closed = True
        self._refuse_all()

    def _refuse_all(self) -> None:
        while True:
            try:
                command = self._queue.get_nowait()
            except queue.Empty:
                return
            command.refuse()
