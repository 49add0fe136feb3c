"""The plugin in jalv on a JACK server: the delay is the documented one, to the frame."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.e2e.exact import ATTEMPTS, SUM_TOLERANCE, assert_equal, delayed, no_clean_take, noise
from tests.models import make_model
from tests.plugin.conftest import binary, make_bundle, needs_a_compiler  # noqa: F401
from tests.plugin.jalv import Jalv

pytestmark = [
    needs_a_compiler,
    pytest.mark.jack,
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("jalv") is None, reason="needs jalv (apt-get install jalv)"),
]

RATE = 48000
STEMS = ("vocals_l", "vocals_r", "instrumental_l", "instrumental_r")


@pytest.mark.parametrize("period", [64, 1024])
def test_the_delay_is_the_documented_one_to_the_frame(
    start_server,
    open_player_recorder,
    request,
    tmp_path,
    period,
):
    server = start_server(period=period, rate=RATE)
    make = request.getfixturevalue("make_bundle")
    jalv = Jalv(server, make(make_model(tmp_path / "half.pt", "half")))
    try:
        player_recorder = open_player_recorder(server)
        jalv.until("engine", 1.0)
        player_recorder.isolate("plugin")
        player_recorder.patch(["plugin:in_l", "plugin:in_r"], [f"plugin:{stem}" for stem in STEMS])
        latency = period + 2 * 256 - 1 + 64 + 256  # docs/plugin.md; tests/plugin hold what it reports to that
        played = noise(RATE)
        for _ in range(ATTEMPTS):
            jalv.ask()
            late = jalv.values["late"]
            take = player_recorder.take(played, latency + 2 * period)
            jalv.ask()
            if take.clean and jalv.values["late"] == late:
                break
        else:
            no_clean_take(period / RATE, jalv.values)
    finally:
        jalv.close()
    expected = delayed(played, latency, len(take.sound))
    assert_equal(take.sound[:, :2] + take.sound[:, 2:], expected, SUM_TOLERANCE, "the sum of both stems")
    whole = take.sound[latency + 4096 :]
    level = np.sqrt(np.mean(whole[:, 2:] ** 2)) / np.sqrt(np.mean(whole[:, :2] ** 2))
    assert level == pytest.approx(1.0, abs=0.05)  # a model of 0.5 everywhere: it is the model that plays
