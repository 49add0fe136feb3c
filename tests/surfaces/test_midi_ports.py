"""The process that holds the ports: watched, replaced when it hangs or dies, heard until its last line."""

from __future__ import annotations

import sys
import textwrap
import threading
import time
from typing import Any

import pytest

from rtsep.controls import Controls
from rtsep.surfaces import midi_ports
from rtsep.surfaces.midi import MidiOptions, MidiSurface
from rtsep.surfaces.midi_map import DEFAULT_ENTRIES, MidiMap
from rtsep.surfaces.midi_ports import MidiPorts, input_ports

PATIENCE_S = 20.0
OPENED = '{"opened": 0, "name": "pad:out", "system": "Jack", "others": []}'
PREAMBLE = """
import json, sys, time
def tell(line):
    print(line, flush=True)
tell('{"ports": {"Jack": ["pad:out"]}}')
"""


def until(there: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not there():
        assert time.monotonic() < end, what
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts ports on a process that does what it is told instead of MIDI."""
    running = []
    monkeypatch.setattr(midi_ports, "HANG_PATIENCE_S", 1.0)
    monkeypatch.setattr(midi_ports, "RETRY_S", 0.01)

    def begin(body: str):
        script = tmp_path / "process.py"
        script.write_text(PREAMBLE + textwrap.dedent(body))
        monkeypatch.setattr(midi_ports, "_PROCESS", [sys.executable, str(script)])
        messages, lines = [], []
        ports = MidiPorts(["pad"], lambda key, batch: messages.append((key, batch)), lines.append)
        running.append(ports)
        ports.start()
        return ports, messages, lines

    yield begin
    for ports in running:
        ports.close()


ALIVE = """
threading = __import__("threading")
def live():
    while True:
        time.sleep(0.2)
        tell('{"alive": 1}')
threading.Thread(target=live, daemon=True).start()
"""


def test_messages_and_ports_are_handed_on_and_what_is_sent_arrives(start):
    ports, messages, lines = start(
        ALIVE
        + f"""
tell('{OPENED}')
tell('{{"output": 0}}')
tell('{{"scanned": true}}')
for line in sys.stdin:
    command = json.loads(line)
    tell(json.dumps({{"from": command["to"], "messages": command["messages"]}}))
"""
    )
    assert ports.here == ["pad:out"]
    assert ports.open[0].there
    assert ports.open[0].hears
    ports.send(0, [[176, 1, 5]])
    until(lambda: messages == [(0, [[176, 1, 5]])], "what was sent")
    assert ports.restarts == 0
    assert {"scanned": True} in lines


@pytest.mark.parametrize("end", ["time.sleep(60)", "sys.exit(1)", 'sys.stdout.write(\'{"from": 0, "mess\')'])
def test_one_that_hangs_or_dies_is_replaced_and_its_port_is_known_to_be_gone(start, tmp_path, end):
    ports, _, lines = start(f"tell('{OPENED}')\ntell('{{\"scanned\": true}}')\n{end}")
    until(lambda: ports.restarts >= 2, "a new process")
    assert [line for line in lines if "closed" in line][:2] == [{"closed": 0}] * 2
    assert len([line for line in lines if "opened" in line]) >= 2


def test_closing_ends_a_process_that_hangs(start):
    ports, _, _ = start("tell('{\"scanned\": true}')\ntime.sleep(60)")
    process = ports._process
    began = time.monotonic()
    ports.close()
    assert process.poll() is not None
    assert time.monotonic() - began < PATIENCE_S
    assert ports.restarts == 0


def test_lines_that_are_none_end_the_reading_but_not_the_session(start):
    ports, _, _ = start("tell('{\"scanned\": true}')\ntell('nonsense')\ntime.sleep(60)")
    until(lambda: ports.restarts >= 1, "a new process")


def test_a_surface_without_a_controller_waits_for_it_with_one_line(monkeypatch):
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "rtsep-test-none")
    said: list[str] = []
    surface = MidiSurface(Controls(), MidiOptions(("no such thing",), MidiMap(DEFAULT_ENTRIES)), said.append)
    surface.start()
    try:
        (line,) = said
        assert line.startswith("no MIDI controller is called 'no such thing' (here: ")
        assert surface.stats()["ports"] == []
    finally:
        surface.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("midi-")]


def test_listing_hangs_on_nothing(monkeypatch):
    monkeypatch.setattr(midi_ports, "LIST_PATIENCE_S", 0.5)
    monkeypatch.setattr(midi_ports, "_PROCESS", [sys.executable, "-c", "import time; time.sleep(60)"])
    assert input_ports() == []
    monkeypatch.setattr(midi_ports, "_PROCESS", [sys.executable, "-c", "print('nonsense')"])
    assert input_ports() == []
