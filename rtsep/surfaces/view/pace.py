"""Limits drawing to the speed of the terminal: over a slow connection frames are dropped, not queued.

After each frame, the view requests the cursor position (CSI 6n), which a terminal reports after drawing
everything before it. While an answer is missing for longer than PATIENCE_S, nothing is drawn; counters and
audio continue, and the next frame shows their current values. Before the first answer the speed is unknown:
one frame is drawn per UNKNOWN_S, and this continues on a terminal that never answers; requests to it soon
stop.
"""

from __future__ import annotations

QUESTION = "\x1b[6n"
PATIENCE_S = 0.2
"""Maximum round trip in seconds, enough for the whole globe; a longer one means a queue."""

UNKNOWN_S = 0.1
"""Interval of frames before the first answer of a terminal, in seconds."""

GIVEN_UP_S = 3.0
"""Time in seconds after which a missing answer is taken as lost."""


class Pace:
    """Decides when to draw and when to request an answer, from times in seconds."""

    def __init__(self) -> None:
        self._requested_at: float | None = None
        self._answered = False  # at least once
        self._silent = False  # it does not answer
        self._drawn_at = float("-inf")
        self.dropped = 0  # count of frames

    def may_draw(self, now: float) -> bool:
        """Return whether a frame may be drawn at `now`; count those that may not."""
        if self._requested_at is not None and now - self._requested_at > GIVEN_UP_S:
            self._requested_at, self._silent = None, not self._answered
        if self._answered:
            held_up = self._requested_at is not None and now - self._requested_at > PATIENCE_S
        else:
            held_up = (self._requested_at is not None or self._silent) and now - self._drawn_at < UNKNOWN_S
        if held_up:
            self.dropped += 1
        else:
            self._drawn_at = now
        return not held_up

    def request_due(self, now: float) -> bool:
        """Return whether to send the request now; True counts as sent."""
        if self._silent or self._requested_at is not None:
            return False
        self._requested_at = now
        return True

    @property
    def expects(self) -> bool:
        """Return whether an answer is expected from a terminal that has answered before."""
        return self._requested_at is not None and self._answered

    def answer(self) -> None:
        """Record an answer."""
        self._requested_at, self._answered, self._silent = None, True, False
