"""A session that switches on request: `python -m tests.e2e.switching '{"model": ..., ...}'`.

Plays an `rtsep.Session` of these arguments. Lines on standard input, each answered with one JSON line:

    {"model": PATH}                          switch to another model
    {"input": NAME, "out_device": NAME}      switch to other devices, one or both
    {"record": DIR}, {"stop": true}          start a take, stop it
    {}                                       nothing

An answer has what was refused ("error", with its class as "kind"), what was said meanwhile, the counters, how
long it took, and "joined": the frame of the input with which the active engine has begun.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

import rtsep
from rtsep.audio import rings


class Said(logging.Handler):
    """Keeps the lines for the user."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.lines.append(record.getMessage())


def obey(session: rtsep.Session, order: dict[str, Any]) -> dict[str, Any]:
    """Execute one line; return the result."""
    if "model" in order:
        session.switch_model(order["model"])
    elif "record" in order:
        session.start_recording(order["record"])
    elif "stop" in order:
        files = session.stop_recording()
        return {"files": files and {stem: str(path) for stem, path in files.items()}}
    elif order:
        session.switch_device(**order)
    return {}


def joined(session: rtsep.Session) -> int:
    """Return the input's frame that the present engine's first hop began with; the model's rate is ours."""
    engine = session.engine
    while True:
        hops, read = engine.read(rings.HOPS), engine.read(rings.IN_READ)
        if engine.read(rings.HOPS) == hops and engine.read(rings.IN_READ) == read:
            return read - hops * engine.spec.hop


def main(arguments: dict[str, Any]) -> None:
    """Play until the input is over, or the lines are."""
    said = Said()
    logging.getLogger("rtsep").addHandler(said)
    with rtsep.Session(**arguments) as session:
        answer: dict[str, Any] = {}
        while True:
            lines, said.lines = said.lines, []
            print(
                json.dumps({**answer, "said": lines, "joined": joined(session), **session.stats()}),
                flush=True,
            )
            line = sys.stdin.readline()
            if not line:
                return
            before = time.monotonic()
            try:
                answer = obey(session, json.loads(line))
            except rtsep.RtsepError as error:
                answer = {"error": str(error), "kind": type(error).__name__}
            answer["took_s"] = round(time.monotonic() - before, 2)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
