"""`rtsep devices` and `rtsep models`: what there is, for people and for programs."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from rtsep.cli import models
from rtsep.cli.main import build_parser
from rtsep.model.catalog import DEFAULT_MODEL, PURPOSES, find_model, purpose_of, shipped_files
from tests.cli.program import rtsep, rtsep_here
from tests.models import make_model


def test_devices_are_listed_as_json():
    outcome = rtsep_here("devices", "--json")
    assert outcome.code == 0
    assert outcome.said == []
    (line,) = outcome.json
    assert set(line) >= {"devices", "mic", "out", "midi"}
    for device in line["devices"]:
        assert set(device) >= {"index", "name", "api", "inputs", "outputs", "rate"}
    indices = [device["index"] for device in line["devices"]]
    assert line["mic"] is None or line["mic"] in indices
    assert line["out"] is None or line["out"] in indices


def test_devices_are_listed_for_people():
    outcome = rtsep("devices")
    assert outcome.code == 0
    assert outcome.said == []
    assert "MIDI" in "\n".join(outcome.out)


def test_the_shipped_model_is_listed(tmp_path):
    outcome = rtsep_here("models", "--json", XDG_DATA_HOME=str(tmp_path))
    assert outcome.code == 0
    (line,) = outcome.json
    assert line["broken"] == []
    (model,) = [model for model in line["models"] if model["name"] == "live"]
    assert model["latency_samples"] == 512
    assert model["params"] > 0
    assert model["licence"]
    assert model["sha256"] == hashlib.sha256(find_model("live").read_bytes()).hexdigest()
    assert "live" in "\n".join(rtsep_here("models").out)


def test_every_shipped_model_says_what_it_is_for(capsys):
    assert next(path.stem for path in shipped_files()) == DEFAULT_MODEL
    assert {path.stem for path in shipped_files()} == set(PURPOSES)
    assert models.run(build_parser("models").parse_args(["models"])) == 0
    listed = capsys.readouterr().out
    for name, purpose in PURPOSES.items():
        assert re.search(rf"^{name} +{re.escape(purpose)}$", listed, re.MULTILINE)
    assert models.run(build_parser("models").parse_args(["models", "stage"])) == 0
    assert PURPOSES["stage"] in capsys.readouterr().out
    assert purpose_of(Path("mine") / "live.pt") == ""


def test_one_model_is_shown_by_name():
    outcome = rtsep_here("models", "live", "--json")
    assert outcome.code == 0
    assert outcome.json[0]["name"] == "live"
    assert "sha256" in "\n".join(rtsep_here("models", "live").out)


def test_own_models_are_found_and_broken_ones_named(tmp_path):
    folder = tmp_path / "rtsep" / "models"
    folder.mkdir(parents=True)
    make_model(folder / "mine.pt", "half")
    (folder / "broken.pt").write_text("not a model")
    outcome = rtsep_here("models", "--json", XDG_DATA_HOME=str(tmp_path))
    assert outcome.code == 0
    (line,) = outcome.json
    assert "test-half" in [model["name"] for model in line["models"]]
    (broken,) = line["broken"]
    assert "broken.pt" in broken
    assert rtsep_here("models", "check", "mine", XDG_DATA_HOME=str(tmp_path)).code == 0


def test_the_shipped_model_checks_out():
    outcome = rtsep_here("models", "check", "live", "--json")
    assert outcome.code == 0
    assert outcome.said == []
    (line,) = outcome.json
    assert line["ok"] is True
    assert line["golden_error"] < 1e-3
    assert "golden frames replayed" in "\n".join(rtsep_here("models", "check", find_model("live")).out)


def test_a_strangers_model_is_told_from_a_shipped_one(tmp_path):
    stranger = make_model(tmp_path / "mine.pt", "half", profile="stage")
    assert re.search(r"origin +not shipped with rtsep; its", "\n".join(rtsep_here("models", stranger).out))
    assert rtsep_here("models", stranger, "--json").json[0]["shipped"] is False
    assert rtsep_here("models", "live", "--json").json[0]["shipped"] is True
    assert re.search(r"origin +shipped with rtsep \(known by", "\n".join(rtsep_here("models", "live").out))
