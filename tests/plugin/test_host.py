"""The engine process before it plays: versions, and the model that a project asks for."""

from __future__ import annotations

import os

import numpy as np
import pytest

from rtsep.controls import TABLE
from rtsep.errors import ModelError, UsageError
from rtsep.model.package import read_package
from rtsep.plugin import host, layout
from rtsep.plugin.layout import map_memory
from tests.models import make_model


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """An open file that a plugin of this version shares, and its memory."""
    monkeypatch.setattr(host, "end_with_parent", lambda: None)
    frames = 1024
    slots = np.zeros(layout.RINGS_AT // 8, np.int64)
    slots[layout.SLOT_PROTOCOL], slots[layout.SLOT_CONTROLS] = layout.PROTOCOL, len(TABLE)
    slots[layout.SLOT_RATE], slots[layout.SLOT_RING_FRAMES] = 48000, frames
    rings = np.zeros(frames * (layout.IN_CHANNELS + layout.OUT_CHANNELS), np.float32)
    (tmp_path / "memory").write_bytes(slots.tobytes() + rings.tobytes())
    descriptor = os.open(tmp_path / "memory", os.O_RDWR)
    yield descriptor, map_memory(str(descriptor)).slots
    os.close(descriptor)


@pytest.mark.parametrize("slot", [layout.SLOT_PROTOCOL, layout.SLOT_CONTROLS])
def test_a_plugin_of_another_version_is_refused_and_that_is_said(memory, capfd, slot):
    descriptor, slots = memory
    slots[slot] += 1
    assert host.run(str(descriptor), "live", "") == UsageError.exit_code
    assert slots[layout.SLOT_STATE] == layout.STATE_REFUSED
    said = capfd.readouterr().out
    assert said.startswith("error the plugin (protocol")
    assert "run 'rtsep plugin install'" in said


def test_a_latency_that_the_plugin_does_not_know_of_is_refused(memory, capfd, tmp_path):
    descriptor, slots = memory
    slots[layout.SLOT_MAX_HOP] = slots[layout.SLOT_DELAY] = 100
    model = make_model(tmp_path / "half.pt", "half")
    assert host.run(str(descriptor), str(model), "") == UsageError.exit_code
    assert "another latency than the installed plugin expects" in capfd.readouterr().out


def test_a_missing_model_is_refused_and_that_is_said(memory, capfd):
    descriptor, slots = memory
    assert host.run(str(descriptor), "mine", "ab" * 32) == ModelError.exit_code
    assert slots[layout.SLOT_STATE] == layout.STATE_REFUSED
    said = capfd.readouterr().out
    assert "the project's model is missing" in said
    assert "the dry signal plays" in said


def test_the_model_of_the_same_content_is_found_under_another_name(tmp_path, monkeypatch, capfd):
    path = make_model(tmp_path / "renamed.pt", "half")
    sha256 = read_package(path).sha256
    monkeypatch.setattr(host, "model_files", lambda: [("renamed", path)])
    assert host._find("mine", sha256).path == path
    assert "'mine' is called 'renamed' here" in capfd.readouterr().out


def test_a_model_of_the_same_name_and_other_content_plays_and_that_is_said(tmp_path, capfd):
    path = make_model(tmp_path / "half.pt", "half")
    assert host._find(str(path), "ab" * 32).path == path
    assert "is not the version that the project was saved with" in capfd.readouterr().out
    assert host._find(str(path), "").path == path
    assert capfd.readouterr().out == ""
