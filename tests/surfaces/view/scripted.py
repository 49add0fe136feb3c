"""A session by script: a song of sines and noise through the real pipeline, slots, controls and meters.

The song's parts are known, so the model's part is played by the mask that parts them best: every level
on the screen comes from the real code, and is the same on every machine and in every run.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.histogram import HISTOGRAM_BINS, HISTOGRAM_STEP_NS
from rtsep.audio.hoploop import _meter
from rtsep.controls import Controls
from rtsep.dsp.router import FEEDS
from rtsep.errors import DeviceError, ModelError, UsageError
from rtsep.pipeline import begin_hop, finish_hop, make_pipeline
from rtsep.realtime import mask_exchange
from rtsep.realtime.mask_exchange import CAPACITY, MaskExchange
from rtsep.session.counters import percentiles
from rtsep.surfaces.players.player import Choice, Spectrum
from rtsep.surfaces.players.spectrum_reader import SpectrumReader
from tests.models import make_spec

RATE = 44100


def _hold(times: NDArray[np.float64], values: list[float], length: float) -> NDArray[np.float64]:
    return np.array(values)[(times / length).astype(int) % len(values)]


def sung(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """A voice: a tune with vibrato, its harmonics under two formants, and rests."""
    note = _hold(times, [220.0, 246.9, 261.6, 293.7, 0.0, 329.6, 293.7, 246.9], 0.5)
    bend = 1 + 0.012 * np.sin(2 * np.pi * 5.5 * times)
    phase = 2 * np.pi * np.cumsum(note * bend) / RATE
    since = np.mod(times, 0.5)
    loud = np.minimum(1, since / 0.04) * np.minimum(1, (0.5 - since) / 0.08) * (note > 0)
    voice = np.zeros_like(times)
    for k in range(1, 25):
        hz = note * k
        formants = np.exp(-(((hz - 700) / 350) ** 2)) + 0.6 * np.exp(-(((hz - 2700) / 700) ** 2)) + 0.04
        voice += formants * np.sin(k * phase) * (hz < 9000)
    return 0.1 * loud * voice


def played(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """A band: bass, a pad of three notes, a snare and a hi-hat of noise."""
    rng = np.random.default_rng(5)
    noise = rng.uniform(-1, 1, len(times))
    high = np.diff(noise, prepend=0.0)
    root = _hold(times, [110.0, 87.3, 98.0, 82.4], 1.0)
    phase = 2 * np.pi * np.cumsum(root) / RATE
    bass = (np.sin(phase / 2) + 0.5 * np.sin(phase)) * np.exp(-2 * np.mod(times, 0.25))
    pad = sum(np.sin(k * phase) / k for k in (4, 5, 6, 8, 10, 12)) * 0.35
    snare = noise * np.exp(-18 * np.mod(times + 0.5, 1.0))
    hat = high * np.exp(-45 * np.mod(times, 0.25))
    return np.asarray(0.16 * bass + 0.07 * pad + 0.13 * snare + 0.08 * hat)


@cache
def song(seconds: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the voice and the band, [2, frames] each."""
    times = np.arange(int(seconds * RATE)) / RATE
    left, right = np.array([[1.0], [1.0]]), np.array([[0.9], [1.1]])
    return (left * sung(times)).astype(np.float32), (right * played(times)).astype(np.float32)


class ScriptedPlayer:
    """A `Player` whose time the test advances."""

    def __init__(self, seconds: float = 10.0) -> None:
        self.controls = Controls()
        self.spec = make_spec("ones")
        self.shared = MaskExchange.create(self.spec.channels, self.spec.bins)
        self._mix = make_pipeline(self.spec, RATE, 2, RATE)
        self._parts = [make_pipeline(self.spec, RATE, 2, RATE) for _ in range(2)]
        self._song = song(seconds)
        self._frame = self.hops = 0
        self._meters = np.zeros((len(FEEDS), 2), np.float32)
        self._feeds = np.zeros((len(FEEDS), 2, self.spec.hop), np.float32)
        self.spectrum_reader = SpectrumReader(self.shared.exchange, self.spec, RATE, self.controls)
        self.calls: list[tuple[str, ...]] = []
        self.title = "Scarlett 2i2 USB -> Scarlett 2i2 USB"
        self.hop_budget_us = 1e6 * self.spec.hop / RATE
        self.state = "playing"
        self.ended = False
        self.recording: dict[str, Any] | None = None
        self.overrides: dict[str, Any] = {}
        self.ready = True

    def close(self) -> None:
        self.shared.close()

    # --- the script -------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Play on."""
        until = min(self._frame + round(seconds * RATE), self._song[0].shape[1])
        while self._frame + self.spec.hop <= until:
            self._hop()

    def _hop(self) -> None:
        hop, exchange, number = self.spec.hop, self.shared.exchange, self.hops
        here = slice(self._frame, self._frame + hop)
        voice, band = (np.ascontiguousarray(part[:, here]) for part in self._song)
        columns = np.zeros((2, *exchange.columns.shape[1:]), np.float32)
        for pipeline, part, column in zip(self._parts, (voice, band), columns, strict=True):
            begin_hop(pipeline, part, column)
        begin_hop(self._mix, voice + band, exchange.columns[number % CAPACITY])
        mask_exchange.publish_column(exchange, number)
        ours, theirs = ((column**2).sum(axis=2) for column in columns)
        exchange.masks[number % CAPACITY] = ours / (ours + theirs + 1e-12)
        mask_exchange.publish_mask(exchange, number)
        mask = exchange.masks[number % CAPACITY]
        finish_hop(self._mix, mask, self.controls.control_block, True, self._feeds)
        _meter(self._meters, self._feeds, hop / RATE)
        self._frame += hop
        self.hops += 1

    # --- what the view asks -----------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        levels = {
            name: {"peak": float(self._meters[f, 0]), "rms": float(np.sqrt(self._meters[f, 1]))}
            for f, name in enumerate(FEEDS)
        }
        return {
            "state": self.state, "hops": self.hops, "late_masks": 0, "underruns": 0, "underrun_frames": 0,
            "overruns": 0, "device_xruns": 0, "source_starved_frames": 0, "resyncs": 0, "bad_samples": 0,
            "hop_us": percentiles(self.hop_histogram()), "call_gap_max_ms": 6.1,
            "latency_ms": {"algorithm": 11.61, "engine": 2.9, "device": 5.805, "total": 20.317},
            "latency_samples": 896, "rate": RATE, "block": 256, "levels": levels, "drift_ppm": 11.6,
            "model": {"name": "live", "pid": 1, "restarts": 0, "ready": self.ready, "error": ""},
            "recording": self.recording, "real_time": True, "memory_locked": True,
        } | self.overrides  # fmt: skip

    def hop_histogram(self) -> NDArray[np.int64]:
        """As many hops as went by, about 0.9 ms each, with a tail."""
        histogram = np.zeros(HISTOGRAM_BINS, np.int64)
        shares = (np.arange(self.hops) * 0.6180339887) % 1.0
        us = 780.0 + 120.0 * -np.log(1 - shares) + 2400.0 * shares**60
        np.add.at(histogram, (us * 1000 / HISTOGRAM_STEP_NS).astype(int), 1)
        return histogram

    def newest(self) -> Spectrum | None:
        return self.spectrum_reader.newest()

    def end(self) -> None:
        self.ended = True

    def over(self, timeout: float | None = 0.0) -> bool:
        return self.ended

    def start_recording(self) -> str:
        self.calls.append(("start_recording",))
        self.recording = {
            "folder": "takes",
            "seconds": 0.0,
            "lost_frames": 0,
            "clipped_samples": 0,
            "failure": None,
        }
        return "takes"

    def stop_recording(self) -> str:
        self.calls.append(("stop_recording",))
        self.recording = None
        return "recorded takes/vocals.wav"

    def pause(self) -> str:
        self.calls.append(("pause",))
        return ""

    def skip(self, seconds: float) -> str:
        self.calls.append(("skip", f"{seconds:g}"))
        if self.overrides.get("file") is None:
            raise UsageError("no file is played; choose one with --in")
        return ""

    def change_speed(self, by: float) -> str:
        self.calls.append(("speed", f"{by:g}"))
        return "speed 95 %"

    def change_key(self, by: float) -> str:
        self.calls.append(("key", f"{by:g}"))
        return "key -1"

    def loop_here(self) -> str:
        self.calls.append(("loop",))
        return "a loop from 0:12 on"

    def presets(self) -> list[Choice]:
        return [Choice("chorus", "program 1"), Choice("verse", "program 0"), Choice("quiet room")]

    def presets_remark(self) -> str:
        return "night.toml, line 3: blend 2: out of range"

    def recall_preset(self, name: str) -> None:
        self.calls.append(("recall", name))
        self.controls.set("threshold", 0.25, "preset")

    def save_preset(self, name: str) -> None:
        self.calls.append(("save", name))

    def models(self) -> list[Choice]:
        return [Choice("live", "11.6 ms, 4.8 dB", current=True), Choice("stage", "5.8 ms, 4.1 dB")]

    def switch_model(self, name: str) -> None:
        self.calls.append(("model", name))
        if name != "stage":
            raise ModelError(f"{name}: plays already")

    def devices(self) -> list[Choice]:
        return [
            Choice("Scarlett 2i2 USB", "ALSA, 2 channels", True, "input"),
            Choice("Built-in Microphone", "ALSA, 1 channel", False, "input"),
            Choice("Scarlett 2i2 USB", "ALSA, 4 channels", True, "output"),
        ]

    def devices_remark(self) -> str:
        return "What was plugged in since is not listed"

    def switch_device(self, *, input: str | None = None, output: str | None = None) -> None:
        self.calls.append(("device", f"{input}", f"{output}"))
        if output:
            raise DeviceError(f"{output} is busy; close what plays on it")
