"""What was said: the lines for the user, and which of them can be read in the few rows there are."""

from __future__ import annotations

from collections import deque

from rtsep.surfaces.view.lines import LINES_KEPT

READ_S, TOLD_S = 1.5, 4.0
"""A line that another one took the place of sooner cannot have been read; how long that is told."""


class Said:
    """The newest lines, oldest first. Any thread may add one."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._times: deque[float] = deque(maxlen=LINES_KEPT)

    def add(self, line: str, now: float) -> None:
        """Keep a line that is said at `now`, in seconds."""
        self.lines.append(line)
        self._times.append(now)

    def rows(self, count: int, width: int, now: float) -> list[str]:
        """Return what stands in `count` rows: the newest lines, and how many more nobody can have read."""
        lines = list(self.lines)[-count:] if count else []
        times = list(self._times)
        replaced = [(said, by) for said, by in zip(times, times[count:], strict=False) if count]
        missed = sum(by - said < READ_S and now - by < TOLD_S for said, by in replaced)
        newest = lines[-1] if lines else ""
        more = f" (+{missed}: l lists them)" if missed else ""
        if len(newest) + len(more) > width:
            more = f"… (l shows {'them' if missed else 'it'} whole)"
        if lines:
            lines[-1] = newest[: max(0, width - len(more))] + more
        return lines
