"""Ctrl-Z and `fg`: a session that is stopped as a whole, and goes on."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.e2e.exact import noise
from tests.e2e.liveprocess import Line, LiveProcess, no_jack
from tests.models import make_model

RATE, SECONDS, STOPPED_S = 44100, 5, 2.5


TAKES = 3
"""A machine that holds the hop loop up for a second loses input: then another take is made."""


@pytest.mark.skipif(os.name != "posix", reason="such signals are POSIX's")
def test_a_played_file_goes_on_where_it_stood_and_its_recording_is_whole(tmp_path: Path) -> None:
    song = noise(SECONDS * RATE)
    soundfile.write(tmp_path / "song.wav", song, RATE, subtype="FLOAT")
    model = make_model(tmp_path / "half.pt", "half")
    for number in range(TAKES):
        take = tmp_path / f"take {number}"
        said, final = stopped_and_continued(tmp_path / "song.wav", model, take)
        told = re.search(r"stopped for ([\d.]+) s.*the file continues at its position", said)
        assert told and float(told[1]) >= STOPPED_S - 0.1, said
        assert final["model"]["restarts"] == 0
        if final["overruns"] == 0 and final["source_starved_frames"] == 0:
            mix = soundfile.read(take / "mix.wav", dtype="float32", always_2d=True)[0]
            assert np.array_equal(mix, song)
            return
    raise AssertionError(f"no take without a loss: {final}")


def stopped_and_continued(song: Path, model: Path, take: Path) -> tuple[str, Line]:
    """Play `song` to its end with a stop on the way; return what was said of it, and the final line."""
    live = LiveProcess(
        "--in", str(song), "--out-device", "virtual", "--model", str(model),
        "--record", str(take), "--subtype", "FLOAT", environment=no_jack(),
    )  # fmt: skip
    try:
        line = live.wait_line(
            lambda line: line["state"] == "playing" and line["file"]["position_s"] > 0.3, "it plays", 240.0
        )
        processes = (line["model"]["pid"], live.pid)
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        for process in processes:
            os.kill(process, signal.SIGCONT)
        said = live.wait_said("stopped for")
        return said, live.final()
    finally:
        live.kill()
