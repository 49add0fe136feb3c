"""Fixtures of the tests of whole sessions."""

from __future__ import annotations

import pytest
import soundfile

from tests.e2e.exact import noise
from tests.models import make_model
from tests.session.playing import RATE


@pytest.fixture
def no_server(monkeypatch):
    """No JACK server is found."""
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "rtsep-test-none")
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")


@pytest.fixture(scope="session")
def half(model_folder):
    """A model that gives half of everything to the voice."""
    return make_model(model_folder / "half of a session.pt", "half")


@pytest.fixture
def song(tmp_path):
    """A second of noise."""
    path = tmp_path / "song.wav"
    soundfile.write(path, noise(RATE), RATE, subtype="FLOAT")
    return path


@pytest.fixture
def long_song(tmp_path):
    """A minute of noise."""
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(60 * RATE), RATE, subtype="FLOAT")
    return path
