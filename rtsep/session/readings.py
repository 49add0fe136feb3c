"""What can be read of a session, from its latest snapshot, on any thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rtsep.audio.engine import Engine
from rtsep.audio.splices import Place
from rtsep.session.endpoints import Ends
from rtsep.session.recorder import RecordingState
from rtsep.session.snapshot import Snapshot
from rtsep.session.states import SessionState


class Readings:
    """The readings of `now`. Two of them may come from two snapshots; `now` itself stays as it is."""

    @property
    def now(self) -> Snapshot:
        """The latest snapshot."""
        raise NotImplementedError

    def stats(self) -> dict[str, Any]:
        """Return what `rtsep live --json` prints: state, counters, latency, levels, the model's state."""
        return self.now.stats()

    @property
    def state(self) -> SessionState:
        """The state, a word of `stats()["state"]`."""
        return self.now.state

    @property
    def ends(self) -> Ends:
        """Input and output as they are now."""
        return self.now.route.ends

    @property
    def engine(self) -> Engine:
        """The engine that is heard, for figures."""
        return self.now.hosted.engine

    @property
    def latency(self) -> int:
        """Frames from input to output, at `rate`; `stats()["latency_ms"]` has its parts in ms."""
        return self.engine.latency.total

    @property
    def rate(self) -> int:
        """Sample rate of the input, Hz."""
        return self.engine.form.rate

    @property
    def place(self) -> Place | None:
        """Where the played file stands: position, length, paused, loop, in s; None: no file is played.

        The position is that of the sound that is heard now: what the file has given, less the latency.
        """
        return self.now.place

    @property
    def recording(self) -> RecordingState | None:
        """How the recording goes, or why it has stopped by itself; None: there is none."""
        return self.now.takes.state

    @property
    def recordings(self) -> list[dict[str, Path]]:
        """The files of the finished takes, by stem."""
        return self.now.takes.finished
