"""A PulseAudio server that hangs: what each further call costs."""

from __future__ import annotations

import contextlib
import threading

import pytest

from rtsep.audio import pulse_server
from rtsep.errors import DeviceError
from rtsep.realtime import foreign_calls
from rtsep.realtime.foreign_calls import hangs
from rtsep.session import desktop
from tests.waiting import until

PATIENCE_S = 60.0


def test_a_server_that_hangs_costs_one_thread_however_often_it_is_asked(monkeypatch):
    answers, connections = threading.Event(), []

    @contextlib.contextmanager
    def connected(client: str = ""):
        connections.append(client)
        answers.wait(PATIENCE_S)
        raise OSError("it has ended")
        yield

    for module in (pulse_server, desktop):
        monkeypatch.setattr(module, "connected", connected)
    monkeypatch.setattr(pulse_server, "LOOK_PATIENCE_S", 0.02)
    monkeypatch.setattr(desktop, "CALL_PATIENCE_S", 0.02)
    for _ in range(5):
        assert pulse_server.find_server() is None
        assert not pulse_server.move(True, 1, "speakers")
        with pytest.raises(DeviceError, match="does not answer"):
            desktop._on_server(lambda pulse: None)
    assert len(connections) == 2, "one for the searches, one for the changes"
    answers.set()
    until(lambda: not hangs())
    monkeypatch.setattr(pulse_server, "LOOK_PATIENCE_S", PATIENCE_S)
    assert pulse_server.find_server() is None
    assert len(connections) == 3, "it is asked again after the abandoned call has returned"
    assert all(each.thread.is_alive() for each in foreign_calls._hung), "ended calls are forgotten"
