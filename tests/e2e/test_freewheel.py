"""A DAW's export: the server runs as fast as its clients allow, and each block is what real time gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.e2e.exact import SUM_TOLERANCE
from tests.e2e.rig import STEM_PORTS
from tests.waiting import until

pytestmark = pytest.mark.jack

EXPORT_S = 4.0
MARGIN_S = 1.0
"""From the start of the freewheel: what was lost before, in real time, has gone through by then."""


class Exporter:
    """Plays noise into rtsep and keeps the sum of both stems, from its first call to its last."""

    def __init__(self, server: Any) -> None:
        self.client = server.client("exporter")
        self.rate = self.client.samplerate
        self._outs = [self.client.outports.register(f"send_{k}") for k in range(2)]
        self._ins = [self.client.inports.register(f"return_{k}") for k in range(4)]
        noise = np.random.default_rng(3)
        self.played: list[np.ndarray] = []
        self.sum: list[np.ndarray] = []
        self.free: list[bool] = []
        self._wheel = False

        @self.client.set_process_callback
        def process(frames: int) -> None:
            block = (0.1 * noise.standard_normal((2, frames))).astype(np.float32)
            for port, channel in zip(self._outs, block, strict=True):
                port.get_array()[:] = channel
            stems = np.stack([port.get_array().copy() for port in self._ins])
            self.played.append(block)
            self.sum.append(stems[:2] + stems[2:])
            self.free.append(self._wheel)

        @self.client.set_freewheel_callback
        def freewheel(starting: bool) -> None:
            self._wheel = bool(starting)

        self.client.activate()
        for k, port in enumerate(self._outs):
            self.client.connect(port, f"rtsep:in_{k}")
        for name, port in zip(STEM_PORTS, self._ins, strict=True):
            self.client.connect(f"rtsep:{name}", port)

    def frames(self, free: bool) -> int:
        calls = zip(tuple(self.played), tuple(self.free), strict=False)  # it goes on meanwhile
        return sum(block.shape[1] for block, was in calls if was == free)


def test_an_export_is_what_plays_in_real_time_to_the_sample(start_server, start_live, half_model):
    server = start_server(period=256, rate=48000)
    live = start_live("--in", "mic", "--out", "both", "--no-connect", "--model", half_model, server=server)
    latency = int(live.playing()["latency_samples"])
    exporter = Exporter(server)
    try:
        until(lambda: exporter.frames(free=False) > exporter.rate, "it should play in real time")
        exporter.client.set_freewheel(True)
        wanted = (EXPORT_S + MARGIN_S) * exporter.rate
        until(lambda: exporter.frames(free=True) > wanted, "the export should go on")
        exporter.client.set_freewheel(False)
        before = exporter.frames(free=False)
        until(lambda: exporter.frames(free=False) > before + exporter.rate, "it should play on afterwards")
    finally:
        exporter.client.deactivate()
        exporter.client.close()
    played, recorded = np.concatenate(exporter.played, axis=1), np.concatenate(exporter.sum, axis=1)
    free = np.repeat(exporter.free, [block.shape[1] for block in exporter.played])
    # Player and recorder are one client here: the server returns what we play a period later.
    delay = latency + server.period
    (wheel,) = np.nonzero(free)
    first, last = wheel[0] + round(MARGIN_S * exporter.rate), wheel[-1]
    np.testing.assert_allclose(
        recorded[:, first:last], played[:, first - delay : last - delay], atol=SUM_TOLERANCE
    )
    assert live.end()["underruns"] == 0
