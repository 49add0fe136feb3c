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
    # Within the first half second the output may start before there is anything to play; then never again. A
    # server that loses periods to a crowd loses time with them: such a stretch is repeated.
    for _ in range(2):
        live.fresh()
    tried = []
    for _ in range(ATTEMPTS):
        before = live.lines[-1]
        after = [live.fresh() for _ in range(STRETCH)]
        tried.append(
            {name: after[-1][name] - before[name] for name in ("underruns", "overruns", "resyncs")}
            | {"at the limit": sum(abs(line["drift_ppm"]) >= LIMIT * 1e6 for line in after)}
        )
        if not any(tried[-1].values()):
            break
    final = live.end()
    assert final["hops"] > STRETCH * RATE / PERIOD
    if any(tried[-1].values()):
        no_clean_take(PERIOD / RATE, f"losses in {STRETCH} s, again and again: {tried}")
