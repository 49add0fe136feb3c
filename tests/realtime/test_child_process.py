"""The environment of a child process is the user's, whatever a library of ours is told meanwhile."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from rtsep.realtime.child_process import environment, for_libraries
from rtsep.surfaces.midi import ports

SEEN = "import os; print(os.environ.get('JACK_DEFAULT_SERVER'), os.environ.get('PIPEWIRE_NOJACK'))"


def test_a_child_process_has_the_users_variables(monkeypatch):
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "mine")
    monkeypatch.delenv("PIPEWIRE_NOJACK", raising=False)
    before = dict(os.environ)
    with for_libraries({"JACK_DEFAULT_SERVER": "none", "PIPEWIRE_NOJACK": "1"}):
        assert os.environ["JACK_DEFAULT_SERVER"] == "none"
        assert environment() == before
        child = subprocess.run(
            [sys.executable, "-c", SEEN], env=environment(), capture_output=True, text=True
        )
    assert child.stdout.split() == ["mine", "None"]
    assert dict(os.environ) == environment() == before


def test_the_midi_process_starts_with_them(monkeypatch):
    """It looked for a JACK server that is called `none`, for good, where a look at the devices went on."""
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "mine")
    given = []

    def popen(command, **how):
        given.append(how["env"]["JACK_DEFAULT_SERVER"])
        raise OSError

    monkeypatch.setattr(ports.subprocess, "Popen", popen)
    held = ports.MidiPorts(["PAD"], lambda *_: None, lambda _: None)
    with for_libraries({"JACK_DEFAULT_SERVER": "none"}):
        assert ports.missing() or ports.input_ports() == []
        with contextlib.suppress(OSError):
            held._spawn()
    assert set(given) == {"mine"}
