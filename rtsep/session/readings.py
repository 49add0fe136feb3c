"""Readings of a session from its latest snapshot, on any thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rtsep.audio.engine import Engine
from rtsep.audio.splices import FilePosition
from rtsep.session.endpoints import ResolvedIO
from rtsep.session.recorder import RecordingState
from rtsep.session.snapshot import Snapshot
from rtsep.session.states import SessionState


class Readings:
    """Readings of `now`. Two of them may come from two snapshots; `now` itself is immutable."""

    @property
    def now(self) -> Snapshot:
        """Return the latest snapshot."""
        raise NotImplementedError

    def stats(self) -> dict[str, Any]:
        """Return the figures of `rtsep live --json`: state, counters, latency, levels, the model's state."""
        return self.now.stats()

    @property
    def state(self) -> SessionState:
        """Return the state, which is also in `stats()["state"]`."""
        return self.now.state

    @property
    def io(self) -> ResolvedIO:
        """Return the current input and output."""
        return self.now.route.io

    @property
    def ends(self) -> ResolvedIO:
        """Return `io`, by its old name."""
        return self.io

    @property
    def engine(self) -> Engine:
        """Return the active engine, for figures."""
        return self.now.hosted.engine

    @property
    def latency(self) -> int:
        """Return the frames from input to output, at `rate`; `stats()["latency_ms"]` has the parts in ms."""
        return self.engine.latency.total

    @property
    def rate(self) -> int:
        """Return the sample rate of the input in Hz."""
        return self.engine.format.rate

    @property
    def place(self) -> FilePosition | None:
        """Return position, length, pause, loop (in s), speed and key of the played file; None: no file.

        The position is that of the current output: the frames read from the file, less the latency.
        """
        return self.now.place

    @property
    def recording(self) -> RecordingState | None:
        """Return the state of the recording, or the reason why it stopped by itself; None: there is none."""
        return self.now.recordings.state

    @property
    def recordings(self) -> list[dict[str, Path]]:
        """Return the files of the finished takes, by stem."""
        return self.now.recordings.finished
