"""A session that records on request: `python recording_session.py MODEL FILE`.

Plays FILE on the virtual device. Lines on standard input: `start DIR`, `stop`, `state`; each is answered
with one JSON line. The first printed line has the hop and the delay of the recorded stems.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from rtsep.controls import Controls
from rtsep.errors import RtsepError
from rtsep.model.package import read_package
from rtsep.session.api import Session
from rtsep.session.options import LiveOptions


def main(model: str, file: str) -> None:
    """Play until the end of the file."""
    options = LiveOptions(input=file, out="both", out_device="virtual")

    def obey(session: Session) -> None:
        answer({"hop": session.engine.spec.hop, "delay": session.engine.feed_delay})
        for line in sys.stdin:
            word, _, rest = line.strip().partition(" ")
            try:
                if word == "start":
                    answer({"started": session.start_recording(Path(rest))})
                elif word == "stop":
                    paths = session.stop_recording()
                    answer({"files": paths and {stem: str(path) for stem, path in paths.items()}})
                elif word == "state":
                    answer(session.stats())
            except RtsepError as error:
                answer({"error": str(error)})

    with Session.of(options, read_package(Path(model)), Controls(), lambda line: None) as session:
        threading.Thread(target=obey, args=(session,), daemon=True).start()
        session.wait()


def answer(what: dict) -> None:
    """Write one line."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
