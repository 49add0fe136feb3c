"""Commands that take several steps, and the waits between the steps.

A job is a generator on the owner's thread. It yields a `Wait` and is resumed when the wait is over; meanwhile
the owner handles other commands and watches the devices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from rtsep.errors import DeviceError, UsageError
from rtsep.session.commands import Command

SWITCH_PATIENCE_S = 10.0
"""Time limit for one step of a switch on devices that play, in seconds."""


@dataclass
class Wait:
    """Wait until `over` returns True."""

    over: Callable[[], bool]
    playing: bool = False  # the wait depends on callbacks or the hop loop, so devices must play
    # time limit if `playing`
    until: float = field(default_factory=lambda: time.monotonic() + SWITCH_PATIENCE_S)


Steps = Generator[Wait, None, Any]
"""Steps of a job; their return value is the outcome of the command."""


class Job:
    """Command in progress."""

    def __init__(self, command: Command, steps: Steps, queries_devices: bool = False) -> None:
        """Prepare `steps` without running any. `queries_devices`: they query the sound systems."""
        self.queries_devices = queries_devices
        self._command, self._steps = command, steps
        self._begun = False
        self._wait = Wait(lambda: True)
        self.failure: Exception | None = None  # reason of a failure

    @property
    def done(self) -> bool:
        """Return whether the command has its outcome."""
        return self._command.outcome.done()

    @property
    def waits_for_calls(self) -> bool:
        """Return whether the job waits for callbacks or the hop loop."""
        return self._wait.playing

    def advance(self) -> None:
        """Run the steps that are possible now. A wait for devices that times out raises within the job."""
        self._begun = True
        while not self.done and self._wait.over():
            self._go_on()
        if not self.done and self._wait.playing and time.monotonic() > self._wait.until:
            self.stop_playing()

    def stop_playing(self) -> None:
        """Handle the stop of the devices: a wait for them raises `DeviceError` within the job."""
        if not self.done and self._wait.playing:
            self._go_on(DeviceError("playback stopped before the switch; try again when it plays"))

    def end(self) -> None:
        """Raise the end of the session within the job until it finishes: its command needs an outcome."""
        if not self._begun:
            self._steps.close()
            self._command.refuse()
        self.stop_playing()
        while not self.done:
            self._go_on(UsageError("the session ended before the switch"))

    def _go_on(self, error: Exception | None = None) -> None:
        """Resume the job, with `error` raised in it if given."""
        try:
            self._wait = next(self._steps) if error is None else self._steps.throw(error)
        except StopIteration as end:
            self._command.outcome.set_result(end.value)
        except Exception as error:
            self.failure = error
            self._command.outcome.set_exception(error)
