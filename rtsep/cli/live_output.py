"""What `rtsep live` prints: a line at the start, JSON lines for programs, the figures at the end."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from typing import Any

from rtsep.session.api import Session
from rtsep.session.recorder import told
from rtsep.session.stages import Stages
from rtsep.surfaces.midi.surface import MidiSurface

REPORT_EVERY_S = 1.0


def announce(session: Session, as_json: bool) -> None:
    """Print what plays, and its latency: on standard output, or beside it where that is for programs."""
    if not as_json:
        print(session.now.title, flush=True)
        return
    with contextlib.suppress(OSError):  # nobody is there to be told
        print(session.now.title, file=sys.stderr, flush=True)


def midi_stats(surface: MidiSurface | None) -> dict[str, Any]:
    """Return the figures of MIDI as the JSON lines have them; none without MIDI."""
    return {"midi": surface.stats()} if surface else {}


def summarise(session: Session, stages: Stages, as_json: bool, midi: dict[str, Any]) -> None:
    """Print the figures of a session that has ended, what to do about its faults, and its recordings."""
    stats = session.stats() | midi
    if as_json:
        late = session.engine.late_hops()
        recordings = [{stem: str(path) for stem, path in take.items()} for take in session.recordings]
        final = {"final": True, **stats, "state": "ended", "late_hops": late, "recordings": recordings}
        final["start"] = stages.moments
        print(json.dumps(final), flush=True)
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
        print(told(take))


class Reporter:
    """Reports the session while it runs, for programs: a JSON line a second. A context manager."""

    def __init__(self, session: Session, surface: MidiSurface | None) -> None:
        """Report nothing yet."""
        self._session, self._surface = session, surface
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._leaving.wait(REPORT_EVERY_S):
            elapsed = round(time.monotonic() - began, 2)
            try:
                stats = self._session.stats() | midi_stats(self._surface)
                print(json.dumps({"t": elapsed, **stats}), flush=True)
            except OSError:  # whoever read our lines has left
                self._session.end()
                return
