"""The commands to the thread that owns a session, and the queue that carries them there.

The sender of a command waits for its outcome, a `Future`. Every command gets exactly one: from the owner, or,
where the session has ended, from the queue. The queue's own lock is the only one of a session.
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
    """A request to the owner. `outcome` gets the result, or the error."""

    outcome: Future[Any] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play: has ended, or has not begun."""
        self.outcome.set_result(None)

    def answer(self, work: Callable[[], Any]) -> None:
        """Do `work`; its result or error is the outcome."""
        try:
            result = work()
        except Exception as error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(result)


@dataclass(frozen=True, eq=False)
class Play(Command):
    """Play as soon as all is ready. Nobody waits for the outcome."""

    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)


@dataclass(frozen=True, eq=False)
class End(Command):
    """End the session. Nobody waits for the outcome."""

    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)


@dataclass(frozen=True, eq=False)
class Arrived(Command):
    """A helper thread has finished its work. Nobody waits for the outcome."""

    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)


@dataclass(frozen=True, eq=False)
class SwitchModel(Command):
    """Play with another model; the outcome comes when it is heard."""

    package: ModelPackage
    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play."""
        self.outcome.set_exception(
            UsageError("a model can be switched only while it plays; try again when it does")
        )


@dataclass(frozen=True, eq=False)
class SwitchDevices(Command):
    """Play from another input, to another output device, or both; None: as it is."""

    input: str | None
    out_device: str | None
    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play."""
        self.outcome.set_exception(
            UsageError("devices can be switched only while it plays; try again when it does")
        )


@dataclass(frozen=True, eq=False)
class ChangeFile(Command):
    """Change how the file is played: `change` gets its source, and the frame of the input that is heard."""

    change: Callable[[FileSource, int], None]
    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play."""
        self.outcome.set_exception(UsageError("the session has ended; no file is played any more"))


@dataclass(frozen=True, eq=False)
class ListDevices(Command):
    """List the devices there are now."""

    outcome: Future[list[Device]] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play."""
        self.outcome.set_exception(UsageError("the session has ended; it lists no devices any more"))


@dataclass(frozen=True, eq=False)
class StartRecording(Command):
    """Begin a take in `folder`."""

    folder: Path
    outcome: Future[None] = field(default_factory=Future, init=False, repr=False)

    def refuse(self) -> None:
        """Answer for a session that does not play."""
        self.outcome.set_exception(UsageError("the session has ended; nothing is recorded any more"))


@dataclass(frozen=True, eq=False)
class StopRecording(Command):
    """End the take. The outcome is its recorder, which may wait for the disk yet; None: there is no take."""

    outcome: Future[Recorder | None] = field(default_factory=Future, init=False, repr=False)


class Inbox:
    """The queue of one session. Any thread sends, signal handlers too; the owner alone receives."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Command] = queue.SimpleQueue()  # its `put` may interrupt itself
        self._closed = False

    def send(self, command: Command) -> None:
        """Hand `command` to the owner; in a session that has ended it is refused at once."""
        self._queue.put(command)
        if self._closed:  # looked at after the `put`: either the owner's last look finds it, or this one
            self._refuse_all()

    def receive(self, timeout_s: float | None) -> Command | None:
        """Wait for the next command, `timeout_s` at most (None: without a limit); None where none came."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Refuse what waits here and what comes later: the owner receives nothing more."""
        self._closed = True
        self._refuse_all()

    def _refuse_all(self) -> None:
        while True:
            try:
                command = self._queue.get_nowait()
            except queue.Empty:
                return
            command.refuse()
