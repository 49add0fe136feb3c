"""How a start goes: the moments at which its stages were reached, from a process's begin to the first sound.

By `time.monotonic`, which all processes of a machine share: the model process tells its own moments, and
whoever started `rtsep` knows the begin.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from rtsep.audio.engine import Engine
from rtsep.dsp.router import FEEDS

LOOK_EVERY_S, LOOK_SELDOM_S = 0.001, 0.02
PATIENCE_S = 2.0
"""An input that is silent for so long is waited for no longer."""


class Stages:
    """The moments of one start, in s; of a stage that is reached again, the first one counts."""

    def __init__(self) -> None:
        self.moments: dict[str, float] = {}
        self._heard_at: int | None = None  # output frames behind the first ones that are not silent

    def reached(self, stage: str, also: Mapping[str, float] | None = None) -> None:
        """Note that `stage` is reached now, and the moments of what another process reached before."""
        for name, moment in (also or {}).items():
            self.moments.setdefault(name, moment)
        self.moments.setdefault(stage, time.monotonic())

    def listen(self, engine: Engine) -> bool:
        """Note the first hop and the first sound as they come by; return whether to look again soon.

        Sound is what the output is given: the last hop at whose end a feed that is played was not silent
        must have been taken by the device, so that at most a hop more is counted, never less.
        """
        if "sound" in self.moments:
            return False
        if engine.progress().hops > 0:
            self.reached("hop")
            if self._heard_at is None and _is_heard(engine):
                self._heard_at = engine.progress().produced  # read again: not before that hop
        if self._heard_at is not None and engine.progress().played >= self._heard_at:
            self.reached("sound")
        return time.monotonic() - self.moments["streams"] < PATIENCE_S


class Stopwatch:
    """Notes when the first hop and the first sound come, on a thread of its own. A context manager."""

    def __init__(self, stages: Stages, engine: Callable[[], Engine]) -> None:
        """Look at the engine that `engine` returns, which may be another one each time."""
        self._stages, self._engine = stages, engine
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stopwatch", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()

    def _run(self) -> None:
        soon = self._stages.listen(self._engine())
        while "sound" not in self._stages.moments:
            if self._leaving.wait(LOOK_EVERY_S if soon else LOOK_SELDOM_S):
                return
            soon = self._stages.listen(self._engine())


def _is_heard(engine: Engine) -> bool:
    played = {FEEDS[entry // engine.form.channels] for entry in engine.form.out_map if entry >= 0}
    return any(level["peak"] > 0 for feed, level in engine.meters().items() if feed in played)
