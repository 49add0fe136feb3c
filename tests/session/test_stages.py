"""The stages of a start, by a clock and an engine that are turned by hand."""

from __future__ import annotations

import types
from typing import Any

import pytest

from rtsep.audio.engine import StreamFormat
from rtsep.audio.telemetry import UNKNOWN, Progress
from rtsep.dsp.router import FEEDS
from rtsep.session import stages as report
from rtsep.session.stages import PATIENCE_S, Stages


class HandEngine:
    """An engine whose progress the test sets."""

    def __init__(self, out_map: tuple[int, ...] = (0, 1)) -> None:
        self.format = StreamFormat(44100, 2, (0, 1), out_map, 256, 44100, 256, False)
        self.hops = self.produced = self.played = 0
        self.peaks = dict.fromkeys(FEEDS, 0.0)

    def progress(self) -> Progress:
        return Progress(0, 0, self.produced, self.played, 0, self.hops, 0, 0, 256, UNKNOWN)

    def meters(self) -> dict[str, dict[str, float]]:
        return {feed: {"peak": peak} for feed, peak in self.peaks.items()}


@pytest.fixture
def clock(monkeypatch) -> Any:
    clock = types.SimpleNamespace(now=10.0)
    monkeypatch.setattr(report, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def stages(clock) -> Stages:
    stages = Stages()
    stages.reached("streams")
    return stages


def test_of_a_stage_that_is_reached_again_the_first_counts(clock):
    stages = Stages()
    stages.reached("devices")
    clock.now = 11.0
    stages.reached("model", {"model imports": 7.5, "devices": 99.0})
    clock.now = 12.0
    stages.reached("devices")
    stages.reached("model")
    assert stages.moments == {"devices": 10.0, "model imports": 7.5, "model": 11.0}


def test_sound_is_when_the_device_has_taken_the_first_hop_that_is_not_silent(clock, stages):
    engine: Any = HandEngine()
    assert stages.observe(engine)
    assert stages.moments.keys() == {"streams"}
    clock.now, engine.hops, engine.produced = 10.1, 1, 256
    assert stages.observe(engine)  # a hop, of silence
    clock.now, engine.played = 10.2, 256
    assert stages.observe(engine)
    assert stages.moments == {"streams": 10.0, "hop": 10.1}
    clock.now, engine.produced, engine.peaks["vocals"] = 10.3, 512, 0.1
    assert stages.observe(engine)
    clock.now, engine.produced, engine.played = 10.4, 768, 511
    assert stages.observe(engine)
    assert "sound" not in stages.moments  # its last frame is not yet taken
    clock.now, engine.played = 10.5, 512
    stages.observe(engine)
    assert stages.moments["sound"] == 10.5 and stages.moments["hop"] == 10.1
    assert not stages.observe(engine)


def test_only_a_feed_that_is_played_is_a_sound(stages):
    instrumental = 2 * FEEDS.index("instrumental")
    engine: Any = HandEngine((-1, instrumental, instrumental + 1))
    engine.hops, engine.produced, engine.played = 5, 1024, 1024
    engine.peaks["vocals"] = 0.5
    stages.observe(engine)
    assert "sound" not in stages.moments
    engine.peaks["instrumental"] = 0.5
    stages.observe(engine)
    assert "sound" in stages.moments


def test_a_silent_input_is_looked_at_less_often_after_a_while_and_its_first_sound_noted_all_the_same(
    clock, stages
):
    engine: Any = HandEngine()
    engine.hops, engine.produced, engine.played = 5, 1024, 1024
    assert stages.observe(engine)
    clock.now += PATIENCE_S
    assert not stages.observe(engine)
    engine.peaks["vocals"] = 0.5
    stages.observe(engine)
    assert stages.moments["sound"] == clock.now
