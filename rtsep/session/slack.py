"""Slack by measure: what a device needs whose calls come in bursts, at the start and after underruns."""

from __future__ import annotations

from rtsep.audio.engine import Engine
from rtsep.limits import MOST_SLACK

FIRST_WINDOWS, FIRST_SHARE = 8, 0.5
"""At the start: the middle of so many windows of `rtsep.audio.bursts`, 0.8 s."""

LATER_WINDOWS, LATER_SHARE = 12, 0.9
"""After an underrun: nearly the worst of so many, but for the one in which something else has held us up."""


class SlackLaw:
    """Says what slack an engine needs. It never takes back what it has given."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._chosen = 0  # what the engine began with: time for the model, with even calls
        self._measured = False
        self._underruns = 0

    def wanted(self, engine: Engine) -> int | None:
        """Return the slack in frames that `engine` is to be raised to; None: what it has suffices."""
        underruns = int(engine.counters()["underruns"])
        if engine is not self._engine:
            self._engine, self._chosen, self._measured = engine, engine.slack, False
            self._underruns = underruns
        if not self._measured:
            early = engine.burst_frames(FIRST_WINDOWS, FIRST_SHARE)
            if early is None:
                return None
            self._measured, self._underruns = True, underruns
        elif underruns > self._underruns:
            early = engine.burst_frames(LATER_WINDOWS, LATER_SHARE)
            if early is None:
                return None
            self._underruns = underruns
        else:
            return None
        # A call takes all of its block at once: less than a whole further block does nothing for the worst
        # hop. An eighth of a block is jitter, on top of bursts of whole ones.
        block = engine.form.block
        blocks = -(-(early - block // 8) // block) if early > 0 else 0
        wanted = min(self._chosen + blocks * block, MOST_SLACK)
        return wanted if wanted > engine.slack else None
