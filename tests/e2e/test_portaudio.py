"""PortAudio's own path, which other systems play through: here on its JACK driver, the device at hand."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.jack

# In a process of its own: PortAudio keeps away from JACK in ours, and does not survive a server's end.
OPEN_A_STREAM = """
import contextlib, json, time
from types import SimpleNamespace
from rtsep.audio import portaudio, rings as layout
from rtsep.audio.engine_mixer import EngineMixer
from rtsep.audio.rings import Rings

portaudio._away_from_jack = contextlib.nullcontext
portaudio.initialise()
found = enumerate(portaudio.query_devices())
number = next(i for i, (api, raw) in found if "JACK" in api and raw["name"] == "system")
rings = Rings(44100, 2, [1, 0], 4)
rings.state[layout.OUT_WRITE] = 1 << 40  # everything is there to be played
mixer = EngineMixer(SimpleNamespace(state=rings.state), 44100, 256, 4)
stream = portaudio.Stream(mixer, mixer.state, (number, 2), (number, 4), 44100, 0)
stream.start()
until = time.monotonic() + 20
while rings.state[layout.IN_WRITE] < 44100 and time.monotonic() < until:
    time.sleep(0.01)
closed = stream.close()
names = {"in": layout.IN_WRITE, "out": layout.OUT_READ, "frames": layout.OUT_FRAMES,
         "underruns": layout.UNDERRUNS}
facts = {name: int(rings.state[slot]) for name, slot in names.items()}
refused = portaudio.refusal(number, "output", 1000, 44100)
print(json.dumps({**facts, "closed": closed, "refused": bool(refused)}))
"""


def test_a_duplex_stream_runs_the_compiled_callback(start_server):
    server = start_server(rate=44100, period=256)
    done = subprocess.run(
        [sys.executable, "-c", OPEN_A_STREAM],
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["in"] >= 44100
    assert facts["in"] == facts["out"]  # one clock: as many frames in as out
    assert facts["frames"] == 256  # the server's period, as no other was asked for
    assert facts["underruns"] == 0
    assert facts["closed"]
    assert facts["refused"]
