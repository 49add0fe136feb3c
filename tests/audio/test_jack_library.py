"""The choice between jackd's libjack and PipeWire's; what answers is a stand-in, the socket is a real one."""

from __future__ import annotations

import socket

import pytest

from rtsep.audio import jack_library
from rtsep.audio.jack_library import Library

JACKD, PIPEWIRE = Library("libjack.so.0", False), Library("/usr/lib/x/pipewire-0.3/jack/libjack.so.0", True)


@pytest.fixture
def machine(monkeypatch):
    """A machine with both libraries, where neither server runs; returns what can be changed of it."""

    class Machine:
        system, private = JACKD, PIPEWIRE
        jackd = pipewire = False

    def opened(name):
        return next(
            (known for known in (Machine.system, Machine.private) if known and known.name == name), None
        )

    machine = Machine
    monkeypatch.setattr(jack_library, "_chosen", None)
    monkeypatch.setattr(jack_library, "_opened", opened)
    monkeypatch.setattr(
        jack_library.ctypes.util, "find_library", lambda _: machine.system and machine.system.name
    )
    monkeypatch.setattr(jack_library, "pipewire_runs", lambda: machine.pipewire)
    monkeypatch.setattr(jack_library, "pipewire_library", lambda: machine.private and machine.private.name)
    monkeypatch.setattr(jack_library, "_server_answers", lambda name: name == JACKD.name and machine.jackd)
    return machine


@pytest.mark.parametrize(
    ("jackd", "pipewire", "chosen", "answers"),
    [
        (False, False, JACKD, False),
        (True, False, JACKD, True),
        (False, True, PIPEWIRE, True),
        (True, True, JACKD, True),
    ],
)
def test_a_jack_server_that_runs_comes_first(machine, jackd, pipewire, chosen, answers):
    machine.jackd, machine.pipewire = jackd, pipewire
    assert jack_library.choose() == chosen
    assert jack_library.answers() == answers
    assert jack_library.missing() == ""


def test_pipewire_needs_no_libjack_of_jackd(machine):
    machine.system, machine.pipewire = None, True
    assert jack_library.choose() == PIPEWIRE


def test_a_system_whose_libjack_is_that_of_pipewire_has_no_choice(machine):
    machine.system, machine.private, machine.pipewire = Library("libjack.so.0", True), None, True
    assert jack_library.choose() == machine.system
    assert jack_library.missing() == ""


def test_a_missing_library_is_named_with_its_package(machine):
    machine.private, machine.pipewire = None, True
    assert jack_library.choose() == JACKD
    assert "apt-get install pipewire-jack" in jack_library.missing()


def test_without_any_library_there_is_none(machine):
    machine.system = machine.private = None
    assert jack_library.choose() is None
    assert not jack_library.answers()
    with pytest.raises(OSError, match="no libjack"):
        jack_library.load()


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """A folder for sockets with one that is listened to, `pipewire-0`."""
    for name in ("PIPEWIRE_NOJACK", "PIPEWIRE_REMOTE", "PIPEWIRE_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "pipewire-0"))
        listening.listen()
        yield tmp_path


def test_a_daemon_that_listens_is_found(daemon, monkeypatch):
    assert jack_library.pipewire_runs()
    monkeypatch.setenv("PIPEWIRE_REMOTE", "another")
    assert not jack_library.pipewire_runs()
    monkeypatch.setenv("PIPEWIRE_REMOTE", str(daemon / "pipewire-0"))
    assert jack_library.pipewire_runs()
    monkeypatch.setenv("PIPEWIRE_NOJACK", "1")
    assert not jack_library.pipewire_runs()


def test_a_socket_that_a_dead_daemon_has_left_is_none(daemon, monkeypatch):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(daemon / "dead"))
    monkeypatch.setenv("PIPEWIRE_REMOTE", "dead")
    assert not jack_library.pipewire_runs()
