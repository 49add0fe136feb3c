"""A session that is attached to, by Python, by the view's player and by the command line."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

import rtsep
from rtsep.controls import Controls
from rtsep.errors import ModelError, SessionError, UsageError
from rtsep.surfaces.remote.player import RemotePlayer
from tests import waiting
from tests.cli.program import assert_refused
from tests.cli.program import rtsep as run
from tests.models import make_model

until = functools.partial(waiting.until, patience_s=60.0)


@pytest.fixture
def remote(server):
    with rtsep.attach(server.name, rate=50) as remote:
        yield remote


def test_controls_are_turned_on_both_sides(session, remote):
    remote.controls.threshold = 0.4
    remote.controls.set("vocals_gain", -6, "mouse")
    assert remote.stats()["state"] == "playing"  # answered behind them
    assert session.controls.threshold == 0.4
    assert session.controls.moved_by("threshold") == "API"
    assert session.controls.moved_by("vocals_gain") == "mouse"
    session.controls.set("gate", 0.25, "MIDI")
    until(lambda: remote.controls.gate == 0.25 and remote.controls.moved_by("gate") == "MIDI")
    assert remote.controls.threshold == 0.4
    with pytest.raises(UsageError, match="out of range; 0 to 1"):
        remote.controls.threshold = 2
    assert (remote.controls.threshold, session.controls.threshold) == (0.4, 0.4)


def test_what_was_set_here_is_not_undone_by_what_was_told_before(session, remote):
    for number in range(200):  # states come all the while
        value = number / 200
        remote.controls.smoothing = value
        assert remote.controls.smoothing == value
    until(lambda: session.controls.smoothing == value)


def test_figures_are_those_of_the_session(session, remote, half):
    assert set(remote.stats()) == set(session.stats())
    assert set(remote.read().controls) == set(Controls().snapshot())
    assert (remote.latency, remote.rate) == (session.latency, session.rate)
    assert remote.state == "playing" and not remote.wait(0.01)
    assert remote.read().title == session.now.title
    assert remote.read().input == str(session.io.source.path) and remote.read().output == "virtual"


def test_takes_presets_and_models(session, remote, tmp_path):
    remote.start_recording(tmp_path / "takes")
    until(lambda: remote.stats()["recording"]["seconds"] > 0)
    with pytest.raises(UsageError):
        remote.start_recording(tmp_path / "takes")
    assert str(tmp_path / "takes" / "vocals.wav") in remote.stop_recording()
    assert remote.recordings[-1]["vocals"] == tmp_path / "takes" / "vocals.wav"
    assert remote.recording is None
    again = remote.start_recording(tmp_path / "takes")
    assert again == str(tmp_path / "takes" / "take-2") == remote.recording["folder"]
    remote.stop_recording()

    session.controls.blend = 0.5
    remote.save_preset("half way")
    assert [choice.name for choice in remote.presets()] == ["half way"]
    session.controls.blend = 1.0
    remote.load_preset("half way")
    assert session.controls.blend == 0.5
    with pytest.raises(UsageError, match="no preset is called 'whole way'"):
        remote.load_preset("whole way")

    assert ("output", "virtual") in [(device.kind, device.name) for device in remote.devices()]
    ones = make_model(tmp_path / "ones.pt", "ones")
    remote.switch_model(ones)
    assert remote.read().model == session.now.hosted.package.spec.name
    assert session.now.hosted.package.path == ones
    with pytest.raises(ModelError, match="no model is called"):
        remote.switch_model("none-of-this-name")


def test_the_player_of_the_view_gets_the_audible_columns(server):
    lines: list[str] = []
    server.notify("said before")
    player = RemotePlayer(server.name, lines.append)
    try:
        newest = waiting.until(player.newest, patience_s=240.0)  # the first one compiles
        while not (newest and newest.level_db.max() > -40):
            newest = until(player.newest)
        assert newest.level_db.shape == newest.share.shape
        assert newest.share.min() >= 0 and newest.share.max() <= 1
        assert abs(int(np.argmax(newest.level_db)) - 45) < 4  # 441 Hz among 120 bands from 50 Hz to 16 kHz
        until(lambda: player.newest() and player.hop_histogram().sum() > 0)
        server.notify("said now")
        until(lambda: lines == ["said before", "said now"])
        assert player.title.startswith(f"[{server.name}] ten minutes.flac -> ")
        assert player.stats()["model"]["ready"]
        assert "live" in [choice.name for choice in player.models()]
        assert not player.over()
    finally:
        player.end()
    assert player.over()
    with pytest.raises(SessionError, match="was detached"):
        player.controls.threshold = 0.1


def test_a_played_file_is_turned(session, remote):
    remote.pause()
    until(lambda: session.place.paused)
    remote.seek(300.0)
    until(lambda: abs(session.place.position - 300.0) < 0.1)
    remote.loop(310, 311)
    remote.skip(10.5)
    remote.resume()
    until(
        lambda: (file := remote.stats()["file"]) and not file["paused"] and 310 <= file["position_s"] <= 311
    )
    remote.stop_loop()
    assert session.place.loop is None
    with pytest.raises(UsageError, match="seek to 6000 s"):
        remote.seek(6000)
    remote.seek(10)


def test_speed_and_key_of_a_played_file(session, remote):
    remote.stretch(speed=0.75, key=-2)
    assert (session.place.speed, session.place.key) == (0.75, -2)
    assert remote.place[-2:] == (0.75, -2)
    for how, words in (
        ({"speed": 2}, "speed 2: out of range; 0.5 to 1.5"),
        ({"speed": 0.9, "key": 7}, "key 7: out of range; -6 to 6"),
        ({}, "name a speed"),
    ):
        with pytest.raises(UsageError, match=words):
            remote.stretch(**how)
    assert session.place.speed == 0.75  # all of a request, or nothing of it
    player = RemotePlayer(remote.name, print)
    try:
        assert player.change_speed(0.5) == "speed 125 %, key -2"
        assert player.change_speed(0.5) == "speed 150 %, key -2"
        assert player.change_key(1) == "speed 150 %, key -1"
    finally:
        player.end()
    assert run("set", "speed", "0.9", "key", "-3").code == 0
    assert session.place[-2:] == (0.9, -3)
    assert run("get", "file.speed", "file.key").out == ["file.speed 0.9", "file.key -3.0"]
    assert_refused(run("set", "speed", "fast"), 2, "speed 'fast': not a number")
    remote.stretch(1, 0)
    assert session.place[-2:] == (1, 0)


def test_the_command_line_reads_and_turns_it(session, server):
    assert run("set", "threshold", "0.3", "vocals-gain", "-12dB", "mask", "binary").code == 0
    assert (session.controls.threshold, session.controls.vocals_gain, session.controls.mask) == (0.3, -12, 1)
    assert session.controls.moved_by("mask") == "command"
    assert run("get", "vocals_gain").out == ["-12 dB"]
    assert run("get", "--json", "mask", "state", "latency_ms.total").json == [
        {"mask": 1.0, "state": "playing", "latency_ms.total": session.stats()["latency_ms"]["total"]}
    ]
    (whole,) = run("get", "--json").json
    assert whole["controls"]["threshold"] == {"value": 0.3, "shown": "0.3", "by": "command"}
    assert whole["session"] == server.name and whole["stats"]["late_masks"] >= 0
    before = session.controls.snapshot()
    assert_refused(run("set", "gate", "0.5", "threshold", "7"), 2, "threshold 7: out of range; 0 to 1")
    assert_refused(run("set", "gait", "0.5"), 2, "unknown control 'gait'", "did you mean 'gate'?")
    assert session.controls.snapshot() == before  # all or nothing
    assert_refused(run("get", "late_mask"), 2, "did you mean 'late_masks'")
    assert_refused(run("set", "model", "none-of-this-name"), 4, "no model is called")
    assert json.loads(json.dumps(whole)) == whole


def test_without_a_session_or_with_two_the_line_says_what_to_do(session, server, tmp_path):
    nowhere = str(tmp_path / "sockets")
    assert_refused(run("get", RTSEP_SOCKETS=nowhere), 8, "no session plays here", "rtsep live")
    assert_refused(run("get", "--session", "test"), 8, "no session 'test'", "did you mean 'tests'?")
    with rtsep.serve(session, "another"):
        assert_refused(run("set", "gate", "0"), 8, "2 sessions play: 'another', 'tests'", "--session NAME")
        assert run("get", "state", "--session", "another").out == ["playing"]


def test_attach_needs_a_terminal(server):
    assert_refused(run("attach"), 2, "no terminal", "'rtsep get'")
