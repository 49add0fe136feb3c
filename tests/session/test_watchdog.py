"""The watchdog: how long a device may be silent, at the start and once it plays."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rtsep.audio.telemetry import UNKNOWN, Progress
from rtsep.session import watchdog
from rtsep.session.watchdog import LOST_AFTER_S, STARTS_WITHIN_S, Watchdog

RATE = 44100


class Devices:
    """Input and output with the numbers of calls and frames that the test gives."""

    def __init__(self, monkeypatch) -> None:
        self.now, self.calls, self.frames = 100.0, 0, 0
        monkeypatch.setattr(watchdog.time, "monotonic", lambda: self.now)
        box = SimpleNamespace(name="Box")
        self.streams = SimpleNamespace(lost=None, waits_for_us=False, moves=0)
        self.watchdog = Watchdog(self.streams, SimpleNamespace(input=box, output=box), None)  # type: ignore[arg-type]
        self.format = SimpleNamespace(rate=RATE, out_rate=RATE)

    def progress(self) -> Progress:
        n = self.frames
        return Progress(n, n, n, n, n, 0, self.calls, self.calls, 256, UNKNOWN)

    def after(self, seconds: float) -> str | None:
        self.now += seconds
        return self.watchdog.lost(self)  # type: ignore[arg-type]


@pytest.fixture
def devices(monkeypatch) -> Devices:
    return Devices(monkeypatch)


def test_a_server_that_sleeps_at_the_start_is_waited_for_but_not_for_ever(devices):
    assert devices.after(0.0) is None  # the first look
    assert devices.after(STARTS_WITHIN_S - 0.1) is None
    assert devices.after(0.2) == "Box has stopped answering"


def test_a_driver_that_fills_its_buffer_first_is_still_at_its_start(devices):
    devices.calls, devices.frames = 8, 8 * 256
    assert devices.after(0.1) is None  # these calls are new
    assert devices.after(STARTS_WITHIN_S - 0.1) is None
    assert devices.after(0.2) == "Box has stopped answering"


def test_a_device_that_has_played_for_a_second_is_gone_a_second_after_its_last_call(devices):
    devices.calls, devices.frames = 200, RATE
    assert devices.after(0.1) is None
    assert devices.after(LOST_AFTER_S - 0.1) is None
    assert devices.after(0.2) == "Box has stopped answering"


def test_a_stop_of_the_whole_session_is_no_silence_of_the_device(devices):
    devices.calls, devices.frames = 200, RATE
    assert devices.after(0.1) is None
    devices.now += 3600.0
    devices.watchdog.forgive(3600.0)
    assert devices.after(LOST_AFTER_S - 0.1) is None
    assert devices.after(0.2) == "Box has stopped answering"


def test_a_device_that_we_are_moved_to_may_sleep_and_is_watched_as_ever_once_it_has_started(devices):
    devices.calls, devices.frames = 200, RATE
    assert devices.after(0.1) is None
    devices.streams.moves = 1
    assert devices.after(0.2) is None
    assert devices.after(STARTS_WITHIN_S - 0.4) is None
    for _ in range(12):  # it has woken up
        devices.calls += 1
        assert devices.after(0.1) is None
    assert devices.after(LOST_AFTER_S - 0.1) is None
    assert devices.after(0.2) == "Box has stopped answering"


def test_a_device_that_we_are_moved_to_and_that_never_calls_is_gone(devices):
    devices.calls, devices.frames = 200, RATE
    assert devices.after(0.1) is None
    devices.streams.moves = 1
    assert devices.after(STARTS_WITHIN_S - 0.1) is None
    assert devices.after(0.2) == "Box has stopped answering"
