"""Timing of a start: the times of its stages, from the start of the process to the first sound.

Times are by `time.monotonic`, which all processes of a machine share: the model process reports its own
times, and the program that started `rtsep` has the time of the beginning.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from rtsep.audio.engine import Engine
from rtsep.dsp.router import FEEDS
from rtsep.realtime import threads

LOOK_EVERY_S, LOOK_SELDOM_S = 0.001, 0.02
PATIENCE_S = 2.0
"""Maximum wait for an input that is silent, in seconds."""


class Stages:
    """Times of one start in seconds; if a stage is reached repeatedly, the first time counts."""

    def __init__(self) -> None:
        self.moments: dict[str, float] = {}
        self._audible_at: int | None = None  # output frames after the first ones that are not silent

    def reached(self, stage: str, also: Mapping[str, float] | None = None) -> None:
        """Record that `stage` is reached now, and the times that another process recorded earlier."""
        for name, moment in (also or {}).items():
            self.moments.setdefault(name, moment)
        self.moments.setdefault(stage, time.monotonic())

    def observe(self, engine: Engine) -> bool:
        """Record the first hop and the first sound when they occur; return whether to check again soon.

        Sound is output data: the device must have taken the last hop that ended with a played feed that was
        not silent. At most one more hop is counted, never less.
        """
        if "sound" in self.moments:
            return False
        if engine.progress().hops > 0:
            self.reached("hop")
            if self._audible_at is None and _is_audible(engine):
                self._audible_at = engine.progress().produced  # read again, to be after that hop
        if self._audible_at is not None and engine.progress().played >= self._audible_at:
            self.reached("sound")
        return time.monotonic() - self.moments["streams"] < PATIENCE_S


class Stopwatch:
    """Records the times of the first hop and first sound on its own thread. A context manager."""

    def __init__(self, stages: Stages, engine: Callable[[], Engine]) -> None:
        """Watch the engine that `engine` returns, which may change."""
        self._stages, self._engine = stages, engine
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stopwatch", daemon=True)

    def __enter__(self) -> None:
        threads.start(self._thread)

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()

    def _run(self) -> None:
        soon = self._stages.observe(self._engine())
        while "sound" not in self._stages.moments:
            if self._leaving.wait(LOOK_EVERY_S if soon else LOOK_SELDOM_S):
                return
            soon = self._stages.observe(self._engine())


def _is_audible(engine: Engine) -> bool:
    played = {FEEDS[entry // engine.format.channels] for entry in engine.format.out_map if entry >= 0}
    return any(level["peak"] > 0 for feed, level in engine.meters().items() if feed in played)
