"""The real player: a short session on the virtual device, its presets, models, takes and refusals."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest

from rtsep.audio import portaudio
from rtsep.controls import Controls
from rtsep.errors import ModelError, RtsepError, UsageError
from rtsep.model.catalog import find_model
from rtsep.model.package import read_package
from rtsep.session.api import Session
from rtsep.session.options import LiveOptions
from rtsep.surfaces.players.session_player import SessionPlayer, _in_brief
from rtsep.surfaces.presets import Presets
from tests import waiting
from tests.models import make_model

PATIENCE_S = 240.0


until = functools.partial(waiting.until, patience_s=PATIENCE_S)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "half.pt", "half")


@pytest.fixture(scope="module")
def session(half):
    options = LiveOptions(input="demo", out_device="virtual", record=None)
    with Session.of(options, read_package(half), Controls(), lambda line: None) as session:
        yield session


def test_a_session_is_seen_and_played(session, half, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    player = SessionPlayer(session, Presets(tmp_path / "presets"))
    player.newest()
    newest = until(lambda: (found := player.newest()) and (found.level_db > -80).any() and found)
    loud = newest.level_db > -80
    assert np.allclose(newest.share[loud], 0.5, atol=0.01)
    stats = player.stats()
    assert stats["model"]["ready"]
    assert player.hop_histogram().sum() > 0
    assert player.hop_budget_us == pytest.approx(1e6 * 256 / stats["rate"])
    assert player.title.startswith("demo.opus -> ")

    player.controls.threshold = 0.8
    player.save_preset("chorus")
    player.controls.threshold = 0.1
    assert [choice.name for choice in player.presets()] == ["chorus"]
    player.recall_preset("chorus")
    assert player.controls.threshold == 0.8
    assert player.controls.moved_by("threshold") == "preset"
    with pytest.raises(UsageError, match="no preset is called"):
        player.recall_preset("verse")
    until(lambda: (found := player.newest()) and found.share[np.argmax(found.level_db)] < 0.2)

    now, *others = player.models()
    assert now.current and now.name == str(half)
    assert "live" in [choice.name for choice in others]

    assert player.start_recording() == str(tmp_path / "takes")
    until(lambda: player.stats()["recording"]["seconds"] > 0)
    assert "takes/vocals.wav" in player.stop_recording()
    assert player.stop_recording() == "nothing was recorded"


def test_another_model_and_another_end_are_switched_to(session, half, tmp_path):
    player = SessionPlayer(session, Presets(tmp_path))
    zeros = make_model(tmp_path / "zeros.pt", "zeros")
    session.controls.threshold = 0
    player.switch_model(str(zeros))
    assert player.models()[0].name == str(zeros)
    until(lambda: (found := player.newest()) and found.share.max() < 1e-3)
    with pytest.raises(ModelError, match="no model is called"):
        player.switch_model("none-of-this-name")

    current = {(choice.kind, choice.name) for choice in player.devices() if choice.current}
    assert current == {("input", "demo"), ("output", "virtual")}
    with pytest.raises(RtsepError, match="none-of-this-name"):
        player.switch_device(output="none-of-this-name")
    player.switch_device(input="demo")
    until(lambda: player.stats()["state"] == "playing" and player.newest())


def test_a_list_of_devices_says_what_it_cannot_know(session, tmp_path, monkeypatch):
    player = SessionPlayer(session, Presets(tmp_path))
    player.devices()
    assert player.devices_remark() == ""
    monkeypatch.setattr(portaudio, "_open", {object()})  # a stream, which a new look would close
    assert "pick virtual, then open this list again" in player.devices_remark()


def test_models_are_told_apart_by_latency_and_quality(session, tmp_path):
    notes = {choice.name: choice.note for choice in SessionPlayer(session, Presets(tmp_path)).models()}
    assert re.fullmatch(r"\d+\.\d ms, vocals \d\.\d dB SDR", notes["live"])
    assert any(re.fullmatch(r"\d+\.\d ms", note) for note in notes.values())  # one that nobody has measured


def test_the_latency_of_a_model_is_that_at_the_rate_of_the_session():
    spec = read_package(find_model("live")).spec
    assert [_in_brief(spec, rate)[:7] for rate in (44100, 48000, 96000)] == ["11.6 ms", "10.7 ms", "10.7 ms"]


def test_presets_say_which_program_recalls_them_and_which_of_them_are_broken(session, tmp_path):
    (tmp_path / "verse.toml").write_text("threshold = 0.2\n")
    player = SessionPlayer(session, Presets(tmp_path))
    player.save_preset("chorus")
    assert [(choice.name, choice.note) for choice in player.presets()] == [
        ("chorus", "program 0"),
        ("verse", "program 1"),
    ]
    assert player.presets_remark() == ""
    (tmp_path / "verse.toml").write_text("threshold = 0.2\nblend = 2\n")
    assert [choice.name for choice in player.presets()] == ["chorus"]
    assert player.presets_remark().endswith("verse.toml, line 2: blend 2: out of range; 0 to 1")


def test_a_preset_keeps_its_program_when_it_is_saved_anew(session, tmp_path):
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "verse.toml").write_text("program = 5\nthreshold = 0.2\n")
    player = SessionPlayer(session, Presets(folder))
    assert player.presets()[0].note == "program 5"
    player.save_preset("verse")
    assert Presets(folder).load("verse").program == 5
    assert (
        session.controls.moved_by("balance") == ""
    )  # two stems: recalled on a stereo output, it keeps its own
    assert Presets(folder).load("verse").values.keys() == Controls().snapshot().keys() - {"balance"}
    session.controls.balance = 0.5
    player.save_preset("verse")
    assert Presets(folder).load("verse").values == session.controls.snapshot()
