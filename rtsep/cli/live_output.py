"""Output of `rtsep live`: a line at the start, JSON lines for programs, the figures at the end."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from typing import Any

from rtsep import standard_streams
from rtsep.realtime import threads
from rtsep.session.api import Session
from rtsep.session.recorder import recorded_line
from rtsep.session.stages import Stages
from rtsep.surfaces.midi.surface import MidiSurface

REPORT_EVERY_S = 1.0

READER_PATIENCE_S = 2.0
"""Time limit at the end for a program that reads the lines late, in seconds."""


def announce(session: Session, as_json: bool) -> None:
    """Print the routing and its latency: on standard output, or on standard error if that carries JSON."""
    if not as_json:
        print(session.now.title, flush=True)
        return
    with contextlib.suppress(OSError):  # nobody reads standard error
        if standard_streams.accepts(sys.stderr):
            print(session.now.title, file=sys.stderr, flush=True)


def midi_stats(surface: MidiSurface | None) -> dict[str, Any]:
    """Return the MIDI figures for the JSON lines; empty without MIDI."""
    return {"midi": surface.stats()} if surface else {}


def summarise(session: Session, stages: Stages, as_json: bool, midi: dict[str, Any]) -> None:
    """Print the figures of a finished session, remedies for its problems, and its recordings."""
    stats = session.stats() | midi
    if as_json:
        late = session.engine.late_hops()
        recordings = [{stem: str(path) for stem, path in take.items()} for take in session.recordings]
        final = {"final": True, **stats, "state": "ended", "late_hops": late, "recordings": recordings}
        final["start"] = stages.moments
        if not standard_streams.print_line(json.dumps(final), READER_PATIENCE_S):
            standard_streams.drop("stdout")
            standard_streams.notify("nobody reads standard output: the final figures are not printed")
        return
    hop = stats["hop_us"]
    print(
        f"{stats['hops']} hops, {stats['late_masks']} late masks, {stats['underruns']} underruns, "
        f"{stats['overruns']} overruns, {stats['device_xruns']} device xruns, "
        f"{stats['model']['restarts']} model restarts; "
        f"hop p50 {hop['p50']:.0f} us, p99 {hop['p99']:.0f} us, max {hop['max']:.0f} us"
    )
    for line in session.now.advice():
        print(line)
    for take in session.recordings:
        print(recorded_line(take))


class Reporter:
    """Context manager that prints one JSON line per second while the session runs.

    A line that nobody reads at its time is left out: a full pipe delays neither the audio nor the end.
    """

    def __init__(self, session: Session, surface: MidiSurface | None) -> None:
        """Print nothing yet."""
        self._session, self._surface = session, surface
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def __enter__(self) -> None:
        threads.start(self._thread)

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join(READER_PATIENCE_S)

    def _run(self) -> None:
        began = time.monotonic()
        while not self._leaving.wait(REPORT_EVERY_S):
            elapsed = round(time.monotonic() - began, 2)
            try:
                stats = self._session.stats() | midi_stats(self._surface)
                standard_streams.print_line(json.dumps({"t": elapsed, **stats}))
            except OSError:  # the reader of the lines has closed them
                self._session.end()
                return
