"""A slow start is no hang of the process that holds the ports; a start that fails leaves no process."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from rtsep.controls import Controls
from rtsep.surfaces.midi import ports as ports_module
from rtsep.surfaces.midi.map import load_map
from rtsep.surfaces.midi.ports import MidiPorts
from rtsep.surfaces.midi.surface import MidiOptions, MidiSurface

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


@pytest.mark.parametrize("startable", [0, 1])  # the reader, the watcher
def test_without_a_thread_no_process_stays_and_the_session_plays_without_controllers(
    tmp_path, monkeypatch, startable
):
    script = tmp_path / "process.py"
    script.write_text(LIVES)
    monkeypatch.setattr(ports_module, "_PROCESS", [sys.executable, str(script)])
    processes: list[subprocess.Popen[bytes]] = []
    popen, left = subprocess.Popen, [startable]
    begin = threading.Thread.start

    def spawn(*arguments, **settings):
        processes.append(popen(*arguments, **settings))
        return processes[-1]

    def start(thread):
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(subprocess, "Popen", spawn)
    monkeypatch.setattr(threading.Thread, "start", start)
    told: list[str] = []
    surface = MidiSurface(Controls(), MidiOptions(("pad",), load_map(None)), told.append)
    surface.start()
    surface.close()
    (line,) = told
    assert "raise the limit of processes" in line and line.endswith("playing without controllers")
    assert processes[0].returncode is not None
