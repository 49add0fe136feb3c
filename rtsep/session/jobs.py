"""Commands that take several steps, and the waits between them.

A job is a generator on the owner's thread. It yields a `Wait` and is resumed when that is over; meanwhile the
owner obeys other commands and watches the devices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from rtsep.errors import DeviceError, UsageError
from rtsep.session.commands import Command

SWITCH_PATIENCE_S = 10.0
"""On devices that play, no step of a switch takes so long."""


@dataclass
class Wait:
    """Wait until `over` returns True."""

    over: Callable[[], bool]
    playing: bool = False  # it is over only while devices play: for what callbacks and the hop loop do
    until: float = field(default_factory=lambda: time.monotonic() + SWITCH_PATIENCE_S)  # where `playing`


Steps = Generator[Wait, None, Any]
"""The steps of a job; what it returns is the outcome of its command."""


class Job:
    """One command under way."""

    def __init__(self, command: Command, steps: Steps, asks_devices: bool = False) -> None:
        """Prepare `steps`; none is done yet. `asks_devices`: they ask the sound systems what there is."""
        self.asks_devices = asks_devices
        self._command, self._steps = command, steps
        self._begun = False
        self._wait = Wait(lambda: True)
        self.failure: Exception | None = None  # why it has failed

    @property
    def done(self) -> bool:
        """Whether the command has its outcome."""
        return self._command.outcome.done()

    @property
    def waits_for_calls(self) -> bool:
        """Whether it waits for what callbacks and the hop loop do."""
        return self._wait.playing

    def advance(self) -> None:
        """Do the steps that are possible now. One that waits for devices in vain raises within the job."""
        self._begun = True
        while not self.done and self._wait.over():
            self._go_on()
        if not self.done and self._wait.playing and time.monotonic() > self._wait.until:
            self.stop_playing()

    def stop_playing(self) -> None:
        """Tell it that the devices stop: a step that waits for them raises `DeviceError` within the job."""
        if not self.done and self._wait.playing:
            self._go_on(DeviceError("it stopped playing before it could switch"))

    def end(self) -> None:
        """Tell it that the session ends, as often as it takes: then its command has an outcome."""
        if not self._begun:
            self._steps.close()
            self._command.refuse()
        self.stop_playing()
        while not self.done:
            self._go_on(UsageError("the session has ended before it could switch"))

    def _go_on(self, error: Exception | None = None) -> None:
        """Resume the job, with `error` raised in it if there is one."""
        try:
            self._wait = next(self._steps) if error is None else self._steps.throw(error)
        except StopIteration as end:
            self._command.outcome.set_result(end.value)
        except Exception as error:
            self.failure = error
            self._command.outcome.set_exception(error)
