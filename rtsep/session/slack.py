"""Automatic slack for devices with calls in bursts, or with occasional late calls.

At the start, the slack follows the median of the first windows of `rtsep.audio.bursts`. Later a fault (an
underrun or a late mask) raises it to the need of most recent windows, and to the need of a rare gap if that
was not the first one: one gap can have any cause, two are typical of the machine. Slack that was not needed
for ten minutes is reduced.
"""

from __future__ import annotations

import time
from collections import deque

from rtsep.audio.bursts import WINDOW_S
from rtsep.audio.engine import Engine, most_slack

FIRST_WINDOWS, FIRST_SHARE = 8, 0.5
"""Windows at the start, 0.8 s, and the share of them that the slack must cover: their median."""

LATER_WINDOWS, LATER_SHARE = 12, 0.6
"""Windows after a fault, and the share of them that the slack must cover; a long gap affects several."""

DECIDED_AFTER_S = 2.5 * WINDOW_S
"""Delay after a fault, in seconds, until the window with the fault is complete."""

SAME_GAP_S = LATER_WINDOWS * WINDOW_S
"""Faults closer together than this have the same gap as their cause, in seconds."""

GAP_MEMORY_S = 120.0
"""A second gap within this time is no coincidence, in seconds."""

LOOK_EVERY_S = 1.0  # shorter than SAME_GAP_S: no window is missed
LOWERED_AFTER_S = 600.0
"""Time without need before slack is reduced, in seconds; it doubles after each reduction that was wrong."""

MAX_PATIENCE_S = 4 * 3600.0


class SlackLaw:
    """Computes the slack that an engine needs."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._chosen = 0  # the engine's first slack: time for the model, with even calls
        self._measured = False
        self._faults = 0
        self._fault_at: float | None = None  # monotonic time of an open fault
        self._gaps: deque[tuple[float, int]] = deque()  # monotonic time, and length in frames
        self._looks: deque[tuple[float, int]] = deque()  # monotonic time, and need in frames
        self._since = 0.0  # monotonic time of the first valid look
        self._lowered_at: float | None = None
        self._patience_s = LOWERED_AFTER_S

    def wanted(self, engine: Engine, max_s: float = 0.0, now: float | None = None) -> int | None:
        """Return the slack in frames that `engine` should have; None: no change.

        `max_s` bounds the latency of slack and device together in seconds, 0 for no bound. `now` is the
        monotonic time.
        """
        now = time.monotonic() if now is None else now
        counted = engine.counters()
        faults = int(counted["underruns"]) + int(counted["late_masks"])
        if engine is not self._engine:
            self._begin(engine, faults, now)
        early: int | None
        if not self._measured:
            early = engine.burst_frames(FIRST_WINDOWS, FIRST_SHARE)
            if early is None:
                return None
            self._measured, self._faults = True, faults
        elif faults > self._faults:
            self._fault_at = now if self._fault_at is None else self._fault_at
            if now < self._fault_at + DECIDED_AFTER_S:
                return None
            early = self._needed_after_fault(engine, now)
            if early is None:
                return None
            self._faults, self._fault_at = faults, None
        elif self._looks and now < self._looks[-1][0] + LOOK_EVERY_S:
            return None
        else:
            return self._lower(engine, now)
        wanted = min(self._slack_for(engine, early), self._max_slack(engine, max_s))
        if wanted <= engine.slack:
            return None
        if self._lowered_at is not None and now < self._lowered_at + self._patience_s:
            self._patience_s = min(2 * self._patience_s, MAX_PATIENCE_S)
            self._lowered_at = None
        self._since = now
        return wanted

    def _begin(self, engine: Engine, faults: int, now: float) -> None:
        self._engine, self._chosen, self._measured = engine, engine.slack, False
        self._faults, self._fault_at, self._since = faults, None, now
        self._gaps.clear()
        self._looks.clear()

    def _needed_after_fault(self, engine: Engine, now: float) -> int | None:
        """Return how early calls came, in frames, apart from coincidences; None: not known yet."""
        rule, gap = (engine.burst_frames(LATER_WINDOWS, share) for share in (LATER_SHARE, 1.0))
        if rule is None or gap is None:
            return None
        while self._gaps and now > self._gaps[0][0] + GAP_MEMORY_S:
            self._gaps.popleft()
        if self._gaps and now < self._gaps[-1][0] + SAME_GAP_S:
            at, before = self._gaps.pop()
            self._gaps.append((at, max(before, gap)))
        else:
            self._gaps.append((now, gap))
        lengths = sorted(length for _, length in self._gaps)
        return max(rule, lengths[-2] if len(lengths) > 1 else 0)

    def _lower(self, engine: Engine, now: float) -> int | None:
        """Record the current need; return a smaller slack if the present one was not needed for long."""
        needed = engine.burst_frames(LATER_WINDOWS, 1.0)
        if needed is None:
            return None
        self._looks.append((now, needed))
        while now > self._looks[0][0] + self._patience_s:
            self._looks.popleft()
        if engine.slack <= self._chosen or now < self._since + self._patience_s:
            return None
        wanted = self._slack_for(engine, max(frames for _, frames in self._looks))
        if wanted >= engine.slack:
            return None
        self._lowered_at = self._since = now
        return wanted

    def _slack_for(self, engine: Engine, early: int) -> int:
        """Return the slack in frames for calls that come `early` frames too early."""
        # A call takes its whole block at once, so less than another whole block does not help the worst hop.
        # An eighth of a block is jitter, on top of bursts of whole blocks.
        block = engine.format.block
        blocks = -(-(early - block // 8) // block) if early > 0 else 0
        return min(self._chosen + blocks * block, self._ring_slack(engine))

    @staticmethod
    def _max_slack(engine: Engine, max_s: float) -> int:
        """Return the largest slack in frames that keeps the latency within its bound."""
        if max_s == 0.0:
            return SlackLaw._ring_slack(engine)
        latency = engine.latency
        return int(max_s * latency.rate) - (latency.total - latency.algorithm - engine.slack)

    @staticmethod
    def _ring_slack(engine: Engine) -> int:
        return most_slack(engine.format.rate, engine.format.out_rate)
