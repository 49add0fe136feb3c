"""A session's process is killed at any moment: the next one clears what it has left, and its files play."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import soundfile

from rtsep.realtime import shared_file
from rtsep.realtime.mask_exchange import MaskExchange
from tests.cli.program import ROOT
from tests.faults.leftovers import descendants
from tests.models import make_model
from tests.waiting import running, until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for what is left in /proc and /dev/shm"),
]

PROGRAM = """
import sys
import rtsep

first, second, folder = sys.argv[1:]
print("start", flush=True)
with rtsep.Session("demo", out_device="virtual", model=first) as session:
    while True:
        print("recording", flush=True)
        session.start_recording(folder)
        session.wait(0.6)
        print("model swap", flush=True)
        session.switch_model(second)
        print("device change", flush=True)
        session.switch_device(out_device="virtual")
        session.wait(0.6)
        session.stop_recording()
        session.switch_model(first)
"""

STAGES = {"start": 4.0, "recording": 1.0, "model swap": 3.0, "device change": 1.0}
"""Stages in which the program is killed, and the longest time in seconds after their lines."""

SEED = 17
KILLS = 4
PATIENCE_S = 240.0


@pytest.mark.parametrize("number", range(KILLS))
@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_left_once_the_next_session_starts(half_model: Path, tmp_path: Path, stage, number):
    moment_s = random.Random(f"{SEED} {stage} {number}").uniform(0, STAGES[stage])
    second, folder = make_model(tmp_path / "zeros.rtsep", "zeros"), tmp_path / "takes"
    environment = os.environ | {"JACK_NO_START_SERVER": "1", "JACK_DEFAULT_SERVER": "rtsep-test-none"}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(half_model), str(second), str(folder)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    begun: set[int] = set()
    try:
        assert program.stdout
        guard = threading.Timer(PATIENCE_S, program.kill)
        guard.start()
        for line in program.stdout:
            if line.strip() == stage:
                break
        else:
            raise AssertionError("the program has ended")
        guard.cancel()
        threading.Event().wait(moment_s)
        begun = descendants(program.pid)
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait()
        program.stdout.close()
    print(f"killed {moment_s:.3f} s after '{stage}'")
    until(lambda: not any(map(running, begun)), "its processes should end with it")
    MaskExchange.create(1, 9).close()  # as the next session does
    left = list(shared_file.IN_MEMORY.glob(f"{shared_file.PREFIX}{program.pid}-*"))
    assert not left, f"left behind: {left}"
    sounds = {path: soundfile.read(path)[0] for path in folder.rglob("*.wav")}
    if stage in ("model swap", "device change"):
        assert any(len(sound) > 0 for sound in sounds.values())
    for take in {path.parent for path in sounds}:
        lengths = [len(sound) for path, sound in sounds.items() if path.parent == take]
        assert len(lengths) == 3 or max(lengths) == 0
        assert max(lengths) - min(lengths) <= 1 << 15, "a block that was being written, at most"
    assert not [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".wav"]
