"""Two devices with a clock each: a JACK server's input and the virtual output."""

from __future__ import annotations

import pytest

from rtsep.audio.drift import LIMIT
from tests.e2e.exact import ATTEMPTS, no_clean_take

pytestmark = pytest.mark.jack

RATE, PERIOD = 44100, 256
STRETCH = 6  # lines, one a second


def test_two_clocks_are_kept_together_without_a_new_start(start_server, start_live):
    server = start_server(rate=RATE, period=PERIOD)
    live = start_live("--in", "mic", "--out", "both", "--out-device", "virtual", server=server)
    first = live.playing()
    assert first["drift_ppm"] is not None
    assert first["latency_ms"]["engine"] > 0  # the distance that is kept between the two is declared
    # Within the first half second the output may start before there is anything to play; then never again.
    for _ in range(2):
        settled = live.fresh()
    tried = []
    for _ in range(ATTEMPTS):
        before = live.lines[-1]["underruns"]
        for _ in range(STRETCH):
            assert abs(live.fresh()["drift_ppm"]) < LIMIT * 1e6
        tried.append(live.lines[-1]["underruns"] - before)
        if tried[-1] == 0:
            break
    final = live.end()
    assert final["resyncs"] == settled["resyncs"] == 0
    assert final["overruns"] == 0
    assert final["hops"] > STRETCH * RATE / PERIOD
    if tried[-1]:
        no_clean_take(PERIOD / RATE, f"underruns in {STRETCH} s, again and again: {tried}")
