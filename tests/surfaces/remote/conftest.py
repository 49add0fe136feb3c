"""A session that plays on the virtual device for as long as the tests want, and is served."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from rtsep.controls import Controls
from rtsep.model.package import read_package
from rtsep.session.api import Session
from rtsep.session.options import LiveOptions
from rtsep.surfaces.presets import Presets
from rtsep.surfaces.remote.place import claim
from rtsep.surfaces.remote.server import Server
from tests.models import make_model

RATE = 44100


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "half.pt", "half")


@pytest.fixture(scope="module")
def session(half, tmp_path_factory):
    song = tmp_path_factory.mktemp("song") / "ten minutes.flac"
    tone = 0.3 * np.sin(np.arange(600 * RATE, dtype=np.float32) * (2 * np.pi * 441 / RATE))
    soundfile.write(song, tone, RATE)
    options = LiveOptions(input=str(song), out_device="virtual")
    with Session.of(options, read_package(half), Controls(), lambda line: None) as session:
        yield session


@pytest.fixture(scope="module")
def server(session, tmp_path_factory):
    with Server(session, claim("tests"), Presets(tmp_path_factory.mktemp("presets"))) as server:
        yield server
