"""The process with the ports is watched, replaced when it hangs or dies, and read until its last line."""

from __future__ import annotations

import errno
import functools
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

from rtsep.controls import Controls
from rtsep.realtime.wire import encode
from rtsep.surfaces.midi import ports as ports_module
from rtsep.surfaces.midi.map import DEFAULT_ENTRIES, MidiMap
from rtsep.surfaces.midi.ports import MidiPorts, input_ports
from rtsep.surfaces.midi.protocol import EVENTS, Broken, Closed, Hold, List, Ports, Scanned
from rtsep.surfaces.midi.surface import MidiOptions, MidiSurface
from tests import waiting

PATIENCE_S = 60.0
HANG_S = 1.0
"""Time limit of tests in which a process hangs; the others give slow machines more time."""

OPENED = '{"kind": "opened", "key": 0, "name": "pad:out", "system": "Jack", "others": []}'
ALIVE_ONCE = {"kind": "alive", "at": 1}
PREAMBLE = """
import json, sys, time
def tell(line):
    print(line, flush=True)
tell('{"kind": "ports", "ports": {"Jack": ["pad:out"]}}')
"""


until = functools.partial(waiting.until, patience_s=PATIENCE_S)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts ports on a process that executes given code instead of MIDI."""
    running = []
    monkeypatch.setattr(ports_module, "START_PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr(ports_module, "RETRY_S", 0.01)

    def begin(body: str, hang_s: float = PATIENCE_S):
        monkeypatch.setattr(ports_module, "HANG_PATIENCE_S", hang_s)
        script = tmp_path / "process.py"
        script.write_text(PREAMBLE + textwrap.dedent(body))
        monkeypatch.setattr(ports_module, "_PROCESS", [sys.executable, str(script)])
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
        tell('{"kind": "alive", "at": 1}')
threading.Thread(target=live, daemon=True).start()
"""


def test_messages_and_ports_are_handed_on_and_what_is_sent_arrives(start):
    ports, messages, lines = start(
        ALIVE
        + f"""
tell('{OPENED}')
tell('{{"kind": "output", "key": 0}}')
tell('{{"kind": "scanned"}}')
for line in sys.stdin:
    command = json.loads(line)
    tell(json.dumps({{"kind": "from", "key": command["key"], "messages": command["messages"]}}))
"""
    )
    assert ports.here == ["pad:out"]
    assert ports.open[0].there
    assert ports.open[0].accepts_feedback
    ports.send(0, [[176, 1, 5]])
    until(lambda: messages == [(0, [[176, 1, 5]])], "what was sent")
    assert ports.restarts == 0
    assert Scanned() in lines


@pytest.mark.parametrize(
    "end", ["time.sleep(60)", "sys.exit(1)", 'sys.stdout.write(\'{"kind": "from", "mess\')']
)
def test_one_that_hangs_or_dies_is_replaced_and_its_port_is_known_to_be_gone(start, tmp_path, end):
    ports, _, lines = start(f"tell('{OPENED}')\ntell('{{\"kind\": \"scanned\"}}')\n{end}", HANG_S)
    until(lambda: sum("closed" in line for line in lines) >= 2, "the ends of two processes")
    until(lambda: ports.restarts >= 2, "a new process")
    assert [line for line in lines if "closed" in line][:2] == [Closed(0)] * 2
    assert len([line for line in lines if "opened" in line]) >= 2


def test_a_process_that_cannot_be_started_is_tried_until_it_can(start, monkeypatch):
    ports, _, _ = start(ALIVE + 'tell(\'{"kind": "scanned"}\')\nsys.stdin.read()')
    tried = []

    def refuse(*_: object, **__: object) -> None:
        tried.append(True)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as full:
        full.setattr(ports_module.subprocess, "Popen", refuse)
        before = ports._process
        before.kill()
        until(lambda: len(tried) >= 3, "it should be tried again and again")
    until(lambda: ports._process is not before and ports._process.poll() is None, "a new process")
    assert ports.restarts == 1


def test_messages_of_a_process_arrive_before_its_end(tmp_path, monkeypatch):
    """A press that came after its port had left would never be let go."""
    received: list[Any] = []

    def slowly(_: int, messages: Any) -> None:
        time.sleep(0.5)  # longer than a death takes to be seen
        received.append(messages)

    script = tmp_path / "process.py"
    press = '{"kind": "from", "key": 0, "messages": [[144, 40, 100]]}'
    script.write_text(f"{PREAMBLE}tell('{OPENED}')\ntell('{press}')\ntell('{press}')\n")
    monkeypatch.setattr(ports_module, "_PROCESS", [sys.executable, str(script)])
    for patience in ("RETRY_S", "HANG_PATIENCE_S"):
        monkeypatch.setattr(ports_module, patience, PATIENCE_S)
    ports = MidiPorts(["pad"], slowly, lambda line: received.append(line) if "closed" in line else None)
    ports.start()
    try:
        until(lambda: Closed(0) in received, "its end")
    finally:
        ports.close()
    assert received == [[[144, 40, 100]], [[144, 40, 100]], Closed(0)]


def test_nothing_in_the_folder_one_plays_from_stands_in_for_the_ports(tmp_path):
    for name in ("json", "queue", "random", "jack", "rtmidi", "rtsep"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not me')")
    listed = subprocess.run([*ports_module._PROCESS, encode(List())], cwd=tmp_path, capture_output=True)
    assert listed.returncode == 0
    assert isinstance(EVENTS.decode(listed.stdout), Ports)


def test_closing_ends_a_process_that_hangs(start):
    ports, _, _ = start('tell(\'{"kind": "scanned"}\')\ntime.sleep(60)')
    process = ports._process
    began = time.monotonic()
    ports.close()
    assert process.poll() is not None
    assert time.monotonic() - began < PATIENCE_S
    assert ports.restarts == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "Expecting value"),
        ('{"kind": "sung", "key": 0}', "Invalid value 'sung'"),
        ('{"kind": "closed"}', "missing required field `key`"),
        ('{"kind": "closed", "key": "0"}', "Expected `int`, got `str`"),
        ('{"kind": "from", "key": 0, "messages": [[256]]}', "Expected `int` <= 255"),
    ],
)
def test_a_process_that_sends_what_is_no_event_is_named_and_replaced(start, line, reason):
    ports, _, lines = start(f'tell(\'{{"kind": "scanned"}}\')\ntell({line!r})\ntime.sleep(60)')
    until(lambda: ports.restarts >= 1, "a new process")
    (first, *_) = [event for event in lines if isinstance(event, Broken)]
    assert reason in first.why and "\n" not in first.why


def test_a_process_refuses_what_is_no_command_with_its_last_words():
    process = subprocess.run(
        [*ports_module._PROCESS, encode(Hold(["virtual"]))],
        input=b'{"kind": "play"}\n', capture_output=True, timeout=PATIENCE_S, check=False,
        env=os.environ | {"JACK_DEFAULT_SERVER": "rtsep-test-none"},
    )  # fmt: skip
    events = [EVENTS.decode(line) for line in process.stdout.splitlines()]
    assert isinstance(events[-1], Broken) and "Invalid value 'play'" in events[-1].why


def test_a_process_refuses_what_is_no_task():
    process = subprocess.run(
        [*ports_module._PROCESS, '["virtual"]'], stdin=subprocess.DEVNULL, capture_output=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    told = EVENTS.decode(process.stdout)
    assert isinstance(told, Broken) and "got `array`" in told.why and process.returncode != 0


def test_lines_that_are_none_end_the_reading_but_not_the_session(start):
    ports, _, _ = start("tell('{\"kind\": \"scanned\"}')\ntell('nonsense')\ntime.sleep(60)", HANG_S)
    until(lambda: ports.restarts >= 1, "a new process")


def test_a_surface_without_a_controller_waits_for_it_with_one_line(monkeypatch):
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "rtsep-test-none")
    said: list[str] = []
    surface = MidiSurface(Controls(), MidiOptions(("no such thing",), MidiMap(DEFAULT_ENTRIES)), said.append)
    surface.start()
    try:
        (line,) = said
        assert line.startswith("no MIDI controller is called 'no such thing' (found: ")
        assert surface.stats()["ports"] == []
    finally:
        surface.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("midi-")]


@pytest.mark.parametrize(
    ("wanted", "failed", "lines"),
    [
        (
            "virtual",
            {"kind": "failed", "key": 0, "name": "virtual", "why": "Virtual ports are not supported."},
            [
                "MIDI: virtual cannot be opened (Virtual ports are not supported); name a loopback port "
                "(on Windows: loopMIDI's) instead"
            ],
        ),
        (
            "pad",
            {"kind": "failed", "key": 0, "name": "pad 1", "why": "error creating port."},
            [
                "MIDI: pad 1 cannot be opened (error creating port); if another program uses it, end that; "
                "trying again"
            ],
        ),
        ("pad", ALIVE_ONCE, ["no MIDI controller is called 'pad' (found: pad:out); waiting for it"]),
        ("", ALIVE_ONCE, []),
        ("", {"kind": "ports", "ports": {"Jack": []}}, ["no MIDI controller found; waiting for one"]),
    ],
)
def test_what_is_not_there_or_refused_is_said_in_one_line(tmp_path, monkeypatch, wanted, failed, lines):
    script = tmp_path / "process.py"
    script.write_text(
        f'{PREAMBLE}tell({json.dumps(failed)!r})\ntell(\'{{"kind": "scanned"}}\')\ntime.sleep(60)'
    )
    monkeypatch.setattr(ports_module, "_PROCESS", [sys.executable, str(script)])
    for patience in ("START_PATIENCE_S", "HANG_PATIENCE_S"):
        monkeypatch.setattr(ports_module, patience, PATIENCE_S)
    said: list[str] = []
    surface = MidiSurface(Controls(), MidiOptions((wanted,), MidiMap(DEFAULT_ENTRIES)), said.append)
    surface.start()
    surface.close()
    assert said == lines


def test_listing_hangs_on_nothing(monkeypatch):
    monkeypatch.setattr(ports_module, "LIST_PATIENCE_S", 0.5)
    monkeypatch.setattr(ports_module, "_PROCESS", [sys.executable, "-c", "import time; time.sleep(60)"])
    assert input_ports() == []
    monkeypatch.setattr(ports_module, "_PROCESS", [sys.executable, "-c", "print('nonsense')"])
    assert input_ports() == []
