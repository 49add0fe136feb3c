"""The published state of a session: an immutable snapshot that any thread may read."""

from __future__ import annotations

from typing import Any, NamedTuple

from rtsep.audio.engine import Engine
from rtsep.audio.splices import FilePosition
from rtsep.session.advice import Conditions, advice
from rtsep.session.bus import output_in_words
from rtsep.session.counters import SessionCounters
from rtsep.session.hosted_model import HostedModel
from rtsep.session.recorder import Recordings
from rtsep.session.route import Route
from rtsep.session.states import SessionState


def audible_frame(engine: Engine) -> int:
    """Return the frame of the input that is now at the output; negative before the first one."""
    format = engine.format
    return engine.progress().played * format.rate // format.out_rate - engine.latency.total


class Snapshot(NamedTuple):
    """Everything that readers need. The owner publishes a new one by a single assignment."""

    state: SessionState
    route: Route
    hosted: HostedModel  # the active model
    counters: SessionCounters  # counts of the earlier engines
    recordings: Recordings  # for its `state` and `finished`
    memory_locked: bool = False

    @property
    def title(self) -> str:
        """Return input, output, content, model and latency as text, as printed at the start."""
        engine, model = self.hosted.engine, self.hosted.package.spec.name
        played = output_in_words(engine.format, engine.controls)
        io = f"{self.route.io.name}: {played}" if played else self.route.io.name
        return f"{io}, model {model}; {engine.latency.line()}"

    @property
    def place(self) -> FilePosition | None:
        """Return the position of the played file; None: no file is played."""
        source = self.route.source
        return source.place(audible_frame(self.hosted.engine)) if source else None

    @property
    def conditions(self) -> Conditions:
        """Return the properties that the advice depends on."""
        engine, io = self.hosted.engine, self.route.io
        decides = any(device and device.is_jack for device in (io.input, io.output))
        return Conditions(
            spec=engine.spec,
            block=engine.format.block,
            slack=engine.slack,
            server_decides=decides,
            real_time=engine.real_time,
        )

    def advice(self) -> list[str]:
        """Return the remedies for problems so far: one line for each cause."""
        return list(advice(self.counters.total(self.hosted.engine), self.conditions))

    def stats(self) -> dict[str, Any]:
        """Return the session's counters, latency, levels and the model's state, in JSON types."""
        engine, process = self.hosted.engine, self.hosted.host.process
        budget, recording, place = engine.latency, self.recordings.state, self.place
        return {
            "state": str(self.state),
            **self.counters.total(engine),
            "latency_ms": budget.milliseconds(),
            "latency_samples": budget.total,
            "rate": engine.format.rate,
            "block": engine.format.block,
            "levels": engine.meters(),
            "limiter_db": round(engine.limiter_db(), 1),
            "feedback_db": round(engine.feedback().dimmed_db, 1),
            "drift_ppm": engine.drift_ppm(),
            "model": {
                "name": self.hosted.package.spec.name,
                "pid": process.pid,
                "restarts": process.restarts,
                "ready": process.ready,
                "asleep": engine.asleep,
                "error": process.last_error,
            },
            "file": place.as_json() if place else None,
            "recording": recording.as_json() if recording else None,
            "real_time": engine.real_time,
            "memory_locked": self.memory_locked,
        }
