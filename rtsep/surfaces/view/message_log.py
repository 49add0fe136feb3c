"""Messages for the user, and the choice of those that fit into a few rows."""

from __future__ import annotations

from collections import deque

from rtsep.surfaces.view.lines import LINES_KEPT

READ_S, HINT_S = 1.5, 4.0
"""A message replaced sooner than READ_S was not readable; the hint about it stays for HINT_S. In seconds."""


class MessageLog:
    """The newest messages, oldest first. Any thread may add one."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._times: deque[float] = deque(maxlen=LINES_KEPT)

    def add(self, line: str, now: float) -> None:
        """Add a message at the time `now`, in seconds."""
        self.lines.append(line)
        self._times.append(now)

    def rows(self, count: int, width: int, now: float) -> list[str]:
        """Return the text of `count` rows: the newest messages, and the number of further unread ones."""
        lines = list(self.lines)[-count:] if count else []
        times = list(self._times)
        replaced = zip(times, times[count:], strict=False) if count else ()
        unread = sum(later - shown < READ_S and now - later < HINT_S for shown, later in replaced)
        newest = lines[-1] if lines else ""
        more = f" (+{unread}: l lists them)" if unread else ""
        if len(newest) + len(more) > width:
            more = f"… (l shows {'them' if unread else 'it'} whole)"
        if lines:
            lines[-1] = newest[: max(0, width - len(more))] + more
        return lines
