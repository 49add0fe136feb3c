"""A slow start is no hang of the process that holds the ports."""

from __future__ import annotations

import sys

from rtsep.surfaces.midi import ports as ports_module
from rtsep.surfaces.midi.ports import MidiPorts

LIVES = """
import time
print('{"kind": "scanned"}', flush=True)
while True:
    time.sleep(0.05)
    print('{"kind": "alive", "at": 1}', flush=True)
"""


def test_a_start_that_takes_longer_than_a_hang_is_waited_for(tmp_path, monkeypatch):
    script = tmp_path / "process.py"
    script.write_text("import time\ntime.sleep(1.0)\n" + LIVES)
    monkeypatch.setattr(ports_module, "_PROCESS", [sys.executable, str(script)])
    monkeypatch.setattr(ports_module, "HANG_PATIENCE_S", 0.3)
    monkeypatch.setattr(ports_module, "START_PATIENCE_S", 60.0)
    ports = MidiPorts(["pad"], lambda key, batch: None, lambda line: None)
    try:
        assert ports.start()
        assert ports.restarts == 0
    finally:
        ports.close()
