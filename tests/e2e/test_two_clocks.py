"""Two devices with a clock each: a JACK server's input and the virtual output."""

from __future__ import annotations

import pytest

from rtsep.audio.drift import LIMIT

pytestmark = pytest.mark.jack

SETTLED_LINES = 6  # seconds


def test_two_clocks_are_kept_together_without_a_new_start(start_server, start_live):
    server = start_server(rate=44100, period=256)
    live = start_live("--in", "mic", "--out", "both", "--out-device", "virtual", server=server)
    first = live.playing()
    assert first["drift_ppm"] is not None
    assert first["latency_ms"]["engine"] > 0  # the distance that is kept between the two is declared
    for _ in range(SETTLED_LINES):
        line = live.fresh()
        assert abs(line["drift_ppm"]) < LIMIT * 1e6
    final = live.end()
    assert final["resyncs"] == 0
    assert final["overruns"] == 0
    assert final["hops"] > SETTLED_LINES * 44100 / 256
    # Within the first half second the output may start before there is anything to play; then never again.
    settled = live.lines[2]
    assert final["underruns"] - settled["underruns"] <= final["device_xruns"] + final["late_masks"]
