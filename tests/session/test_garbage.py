"""Engines that a session has dropped return their memory, after refused switches too."""

from __future__ import annotations

import gc
import mmap
import shutil
import weakref

import pytest

import rtsep
from rtsep.audio.engine import Engine
from rtsep.errors import UsageError
from rtsep.session import garbage, model_swap
from tests.models import make_model
from tests.session.playing import until

pytestmark = pytest.mark.usefixtures("no_server")


@pytest.fixture
def engines(monkeypatch):
    """Weak references to all engines that are built in this test."""
    built: list[weakref.ref[Engine]] = []
    build = Engine.__init__

    def noted(engine, *words, **named):
        build(engine, *words, **named)
        built.append(weakref.ref(engine))

    monkeypatch.setattr(Engine, "__init__", noted)
    return built


@pytest.fixture
def rings(monkeypatch):
    """Weak references to the record rings of all engines that are built in this test."""
    made: list[weakref.ref[mmap.mmap]] = []
    build = mmap.mmap

    def noted(handle, *words, **named):
        mapping = build(handle, *words, **named)
        if handle == -1:  # no memory shared with another process
            made.append(weakref.ref(mapping))
        return mapping

    monkeypatch.setattr("rtsep.realtime.memory.mmap.mmap", noted)
    return made


def test_a_failed_recording_releases_its_engine(half, long_song, tmp_path, monkeypatch, rings):
    monkeypatch.setattr(garbage, "COLLECT_AFTER_S", 0.2)
    with rtsep.Session(long_song, out_device="virtual", model=half) as session:
        session.start_recording(tmp_path / "take")
        until(lambda: session.recording.seconds > 0)
        shutil.rmtree(tmp_path / "take")
        until(lambda: session.recording.failure)
        session.stop_recording()
        session.switch_device(out_device="virtual")
        until(lambda: [ring() is not None for ring in rings] == [False, True])


def test_refused_and_completed_switches_leave_one_engine(half, long_song, tmp_path, monkeypatch, engines):
    other = str(make_model(tmp_path / "other.pt", "zeros"))
    monkeypatch.setattr(garbage, "COLLECT_AFTER_S", 0.2)
    gc.disable()  # as if the collector had no reason to look at old objects
    try:
        with rtsep.Session(long_song, out_device="virtual", model=half) as session:
            with monkeypatch.context() as strict:
                strict.setattr(model_swap, "LATE_SHARE", -1.0)
                for _ in range(2):
                    with pytest.raises(UsageError, match="too slow"):
                        session.switch_model(other)
            session.switch_model(other)
            session.switch_device(out_device="virtual")
            assert len(engines) == 5
            until(lambda: sum(engine() is not None for engine in engines) == 1)
    finally:
        gc.enable()
