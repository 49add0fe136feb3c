"""The environment of a child process is that of the user, even while a library of ours has other settings."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtsep.errors import ModelProcessError
from rtsep.model import launch
from rtsep.realtime.child_process import command_of, environment, for_libraries, interpreter
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


@pytest.mark.parametrize("executable", ["", None, "/usr/bin/myapp", "/opt/app.sh", "/gone/bin/python3"])
def test_a_program_that_is_no_python_finds_the_one_it_runs_by(monkeypatch, executable):
    there = interpreter()
    assert there == sys.executable
    monkeypatch.setattr(sys, "executable", executable)
    command = command_of("tests.realtime.named")
    assert Path(command[0]).resolve() == Path(there).resolve()
    tell = "import numba, sys; print(sys.prefix)"
    run = subprocess.run([command[0], "-P", "-c", tell], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == sys.prefix


def test_a_frozen_program_is_not_started_again(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/python-app/python3")
    assert interpreter() != "/opt/python-app/python3"


def test_without_any_python_the_start_says_so_in_a_line(monkeypatch, tmp_path):
    for name in ("prefix", "exec_prefix", "base_prefix"):
        monkeypatch.setattr(sys, name, str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/opt/app")
    monkeypatch.setattr(launch, "COMMAND", command_of("rtsep.model.launch"))
    launch.prepare()
    assert launch._prepared is None
    with pytest.raises(
        ModelProcessError, match=r"sys\.executable is '/opt/app'.*set sys\.executable"
    ) as error:
        launch.launch(launch.COMMAND)
    assert "\n" not in str(error.value)
