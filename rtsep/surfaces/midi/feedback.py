"""Feedback: lights, rings and motor faders stand where the controls are, whoever moved them.

Looked at 30 times a second: what changes faster is sent at that pace, and the last value always. What a knob
has sent itself it is not told again, so that nothing goes round in circles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtsep.surfaces.midi.turn import Knob

EVERY_S = 1.0 / 30


class Feedback:
    """Sends what has changed to the controllers that can show it."""

    def __init__(self, knobs: Sequence[Knob], send: Callable[[int, list[list[int]]], None]) -> None:
        self._knobs, self._send = knobs, send
        self.sent = 0

    def update(self, ports: dict[int, str]) -> None:
        """Tell the `ports` (names by key) that take feedback what they do not show yet."""
        for port, name in ports.items():
            messages: list[list[int]] = []
            for knob in self._knobs:
                if knob.is_on(name):
                    messages += knob.feedback(port)
            if messages:
                self.sent += len(messages)
                self._send(port, messages)
