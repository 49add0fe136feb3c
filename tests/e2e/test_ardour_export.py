"""A real DAW exports a bus through rtsep faster than real time, and the export is whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import correlate

from tests.e2e import ardour
from tests.e2e.exact import SUM_TOLERANCE

pytestmark = [
    pytest.mark.jack,
    pytest.mark.long,
    pytest.mark.skipif(not ardour.installed(), reason="needs Ardour 7 (apt-get install ardour)"),
]

EXPORT_S = 20.0
MARGIN_S = 1.0
"""The sound from before the export, in real time, has left rtsep by then."""


def test_ardour_exports_what_goes_through_rtsep_to_the_sample(start_server, start_live, half_model, tmp_path):
    server = start_server(period=256, rate=48000)
    live = start_live("--in", "mic", "--out", "both", "--no-connect", "--model", half_model, server=server)
    live.playing()
    player = ardour.Player(server)
    try:
        exported = ardour.export(server, "player", tmp_path, EXPORT_S)
    finally:
        played = player.close()
    live.end()
    assert exported.shape == (2, round(EXPORT_S * server.rate))

    whole = exported[:, round(MARGIN_S * server.rate) :]
    place = int(np.argmax(correlate(played[0], whole[0, : server.rate], mode="valid")))
    np.testing.assert_allclose(whole, played[:, place : place + whole.shape[1]], atol=SUM_TOLERANCE)
