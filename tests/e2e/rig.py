"""`rtsep live` between a player and a recorder on a private server, patched and playing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tests.e2e.exact import clean_take, delayed
from tests.e2e.liveprocess import Line, LiveProcess

if TYPE_CHECKING:  # needs libjack
    from tests.e2e.jackserver import JackServer
    from tests.e2e.player_recorder import PlayerRecorder, Take

STEM_PORTS = ("vocals_L", "vocals_R", "instrumental_L", "instrumental_R")


@dataclass
class Rig:
    """A server, a session, a player and a recorder."""

    server: JackServer
    live: LiveProcess
    player_recorder: PlayerRecorder
    line: Line  # the first one that said it plays

    @property
    def latency(self) -> int:
        """The reported delay from input to output, in frames."""
        return int(self.line["latency_samples"])

    def close(self) -> None:
        """End all of it; the next rig of the same test may then start."""
        self.live.kill()
        self.player_recorder.close()
        self.server.remove()

    def patch(
        self, outputs: tuple[str, ...] = STEM_PORTS, inputs: tuple[str, ...] = ("in_0", "in_1")
    ) -> None:
        """Connect player and recorder with rtsep's ports, and nothing else with them."""
        self.player_recorder.isolate("rtsep")
        self.player_recorder.patch(
            [f"rtsep:{name}" for name in inputs], [f"rtsep:{name}" for name in outputs]
        )

    def play(self, played: NDArray[Any], begin: Callable[[], None] = lambda: None) -> Take:
        """Play; return a take in which nothing was lost, long enough for the delay.

        `begin()` is called before each take.
        """
        return clean_take(
            self.live, self.player_recorder, played, self.latency + 2 * self.server.period, begin
        )

    def expected(self, played: NDArray[Any], take: Take) -> NDArray[Any]:
        """Return what a take of `played` must sum to: the same, the reported delay later."""
        return delayed(played, self.latency, len(take.sound))
