"""Feedback: LEDs, LED rings and motor faders follow the controls, whatever changed them.

Values are checked 30 times per second: faster changes are sent at that rate, always including the last value.
A value that a knob has sent itself is not sent back, which avoids a feedback loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtsep.surfaces.midi.turn import Knob

EVERY_S = 1.0 / 30


class Feedback:
    """Sends changes to the controllers that can display them."""

    def __init__(self, knobs: Sequence[Knob], send: Callable[[int, list[list[int]]], None]) -> None:
        self._knobs, self._send = knobs, send
        self.sent = 0

    def update(self, ports: dict[int, str]) -> None:
        """Send outdated values to the `ports` (names by key) that accept feedback."""
        for port, name in ports.items():
            messages: list[list[int]] = []
            for knob in self._knobs:
                if knob.is_on(name):
                    messages += knob.feedback(port)
            if messages:
                self.sent += len(messages)
                self._send(port, messages)
