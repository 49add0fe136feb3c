"""Draws no faster than the terminal takes it: over a slow line frames are dropped, not queued.

Behind a frame goes the question where the cursor is (CSI 6n), which a terminal answers once it has drawn all
before it. While an answer is out for longer than PATIENCE_S, nothing more is drawn; counters and sound go on,
and the next frame shows them as they are then. Before the first answer nobody knows how slow the line is: one
frame is drawn in UNKNOWN_S, and so it stays on a terminal that never answers; it is not asked for long.
"""

from __future__ import annotations

QUESTION = "\x1b[6n"
PATIENCE_S = 0.2
"""A round trip around the world; longer is a queue."""

UNKNOWN_S = 0.1
"""Between two frames to a terminal that has not answered yet."""

GIVEN_UP_S = 3.0
"""No answer for so long: it was lost, or will never come."""


class Pace:
    """Tells when to draw and when to ask, from times in seconds."""

    def __init__(self) -> None:
        self._asked: float | None = None
        self._answered = False  # ever
        self._silent = False  # it does not answer
        self._drawn_at = float("-inf")
        self.dropped = 0  # frames

    def may_draw(self, now: float) -> bool:
        """Tell whether a frame may be drawn at `now`; counts those that may not."""
        if self._asked is not None and now - self._asked > GIVEN_UP_S:
            self._asked, self._silent = None, not self._answered
        if self._answered:
            held_up = self._asked is not None and now - self._asked > PATIENCE_S
        else:
            held_up = (self._asked is not None or self._silent) and now - self._drawn_at < UNKNOWN_S
        if held_up:
            self.dropped += 1
        else:
            self._drawn_at = now
        return not held_up

    def wants_to_ask(self, now: float) -> bool:
        """Tell whether to put the question now; if so, it counts as put."""
        if self._silent or self._asked is not None:
            return False
        self._asked = now
        return True

    @property
    def expects(self) -> bool:
        """Whether an answer is on its way, from a terminal that has answered before."""
        return self._asked is not None and self._answered

    def answer(self) -> None:
        """Take an answer."""
        self._asked, self._answered, self._silent = None, True, False
