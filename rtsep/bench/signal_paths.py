"""The signal paths of `rtsep bench roundtrip`: each a running engine, and the recording of its output.

On a JACK server, rtsep's own clients send and record the signal, also directly. With `--in` and `--out`, a
sound card plays it and records it through a cable; the engine gets the same input, and its output is on the
same clock. Without either, a session on the virtual device plays it as a file.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from rtsep.audio import devices
from rtsep.audio.backend import ClientOptions
from rtsep.audio.engine import Engine, StreamFormat
from rtsep.audio.engine_mixer import EngineMixer
from rtsep.audio.latency_budget import LatencyBudget
from rtsep.audio.probe import Probe, follow, played_by
from rtsep.audio.streams import Streams
from rtsep.bench.jackrig import JackRig, jack_rig
from rtsep.bench.playing import notify, playing
from rtsep.controls import Controls
from rtsep.errors import DeviceError, UsageError
from rtsep.model.package import ModelPackage
from rtsep.session.endpoints import ResolvedIO, resolve_io
from rtsep.session.hosted_model import HostedModel, ModelHost
from rtsep.session.options import VIRTUAL, LiveOptions

WARM_UP_S = 1.0
SETTLE_S = 0.3  # after a change of the bypass
LEAD_S = 0.1
SPARE_S = 0.5
"""Search range beyond the declared latency in seconds: a sound card may add this much."""

MARGIN_S = 1.0  # of a played file, behind the examined part, so that it is still open
PATIENCE_S = 10.0


class Take(NamedTuple):
    """Recording of one pass of the signal; everything on one clock, from one frame on."""

    reference: NDArray[np.float32]  # [frames, channels] the input
    played: NDArray[np.float32]  # [frames, output channels] the session's outputs
    captured: NDArray[np.float32] | None = None  # [frames, channels] the signal returned without an engine
    lost: int = 0  # frames lost on the path


class SignalPath(Protocol):
    """Running engine through which a signal can be sent."""

    name: str
    format: StreamFormat
    exact: bool  # all samples return unchanged, apart from the engine
    notes: list[str]

    @property
    def latency(self) -> LatencyBudget:
        """Return the declared latency of the engine."""

    def take(self, bypass: bool) -> Take:
        """Play the signal once, separated or bypassed."""


def open_path(
    arguments: argparse.Namespace, package: ModelPackage, signal: NDArray[np.float32]
) -> AbstractContextManager[SignalPath]:
    """Open the path that `arguments` select: a cable, the running JACK server, or the virtual device."""
    if arguments.input is not None or arguments.out not in (None, VIRTUAL):
        return by_cable(package, arguments, signal)
    if arguments.out is None:
        try:
            if devices.look().jack:
                return on_jack(package, arguments, signal)
        except DeviceError as error:
            notify(str(error))
    return by_file(package, arguments, signal)


# --- on a JACK server ------------------------------------------------------------------------------------


class JackPath:
    """Path between two clients of a JACK server."""

    name, exact = "JACK server", True

    def __init__(self, rig: JackRig, controls: Controls, signal: NDArray[np.float32]) -> None:
        self.format, self.notes = rig.live.session.io.format, rig.live.session.io.notes
        self._rig, self._controls, self._signal = rig, controls, signal

    @property
    def latency(self) -> LatencyBudget:
        """Return the declared latency of the engine."""
        return self._rig.live.session.engine.latency

    def take(self, bypass: bool) -> Take:
        """Play the signal once, separated or bypassed."""
        rig, rate = self._rig, self.format.rate
        _turn(self._controls, bypass)
        before, capture = rig.losses, rig.recorder.capture()
        lead = round(LEAD_S * rate) + 4 * self.format.block
        rig.player.play(self._signal, lead)
        enough = lead + len(self._signal) + self.latency.total + round(SPARE_S * rate)
        follow({capture: enough}, rig.check, PATIENCE_S + enough / rate)
        time.sleep(0.05)  # another thread reports xruns
        reference, played = np.split(capture.sound, [self._signal.shape[1]], axis=1)
        return Take(reference, played, lost=rig.losses - before + capture.torn)


@contextmanager
def on_jack(
    package: ModelPackage, arguments: argparse.Namespace, signal: NDArray[np.float32]
) -> Iterator[JackPath]:
    """Play on the running server, connected only to rtsep's own clients."""
    controls = Controls()
    with jack_rig(package, controls, arguments.compute, arguments.slack) as rig:
        for given, is_there, option in (
            (arguments.rate, rig.live.session.io.format.rate, "rate"),
            (arguments.block, rig.live.session.io.format.block, "block"),
        ):
            if given not in (None, is_there):
                notify(f"--{option} {given}: the JACK server decides, it is {is_there}")
        time.sleep(WARM_UP_S)
        yield JackPath(rig, controls, signal)


# --- through a cable ---------------------------------------------------------------------------------------


class CablePath:
    """Path out of a sound card, through a cable, and back into it, beside an engine with the same input."""

    exact = False  # there are converters on the path

    def __init__(
        self, engine: Engine, io: ResolvedIO, probe: Probe, streams: Streams, controls: Controls,
        signal: NDArray[np.float32],
    ) -> None:  # fmt: skip
        self.name, self.format, self.notes = f"cable {io.name}", io.format, io.notes
        self._engine, self._probe, self._streams = engine, probe, streams
        self._controls = controls
        channels = [max(0, entry) % io.format.channels for entry in io.format.out_map]
        self._signal = np.ascontiguousarray(signal[:, channels])  # [frames, output channels]
        if io.format.two_clocks:
            self.notes = [*io.notes, "two clocks: the latency of the devices alone cannot be measured"]

    @property
    def latency(self) -> LatencyBudget:
        """Return the declared latency of the engine."""
        return self._engine.latency

    @property
    def _losses(self) -> int:
        counted = self._engine.counters()
        return int(counted["underruns"]) + int(counted["overruns"]) + self._probe.xruns

    def take(self, bypass: bool) -> Take:
        """Play the signal once, separated or bypassed."""
        format, rate = self.format, self.format.out_rate
        _turn(self._controls, bypass)
        before = self._losses
        played, capture = played_by(self._engine), self._probe.capture()
        lead = round(LEAD_S * rate) + 4 * format.out_block
        start = self._probe.play(self._signal, lead)
        declared = math.ceil(self.latency.total * rate / format.rate)
        enough = start - played.first + len(self._signal) + declared + round(SPARE_S * rate)
        wanted = {played: enough, capture: math.ceil(enough * format.rate / rate)}
        follow(wanted, self.check, PATIENCE_S + enough / rate)
        reference = np.zeros((enough, self._signal.shape[1]), np.float32)
        reference[start - played.first :][: len(self._signal)] = self._signal
        torn = int(played.torn or capture.torn)
        captured = None if format.two_clocks else _shifted(capture.sound, capture.first - played.first)
        return Take(
            reference=reference, played=played.sound, captured=captured, lost=self._losses - before + torn
        )

    def check(self) -> None:
        """Raise `DeviceError` if a device has stopped."""
        if self._streams.lost:
            raise DeviceError(f"{self._streams.lost}; try again")


@contextmanager
def by_cable(
    package: ModelPackage,
    arguments: argparse.Namespace,
    signal: NDArray[np.float32],
    open_streams: Callable[..., Streams] = Streams,
    find_io: Callable[[LiveOptions], ResolvedIO] = resolve_io,
) -> Iterator[CablePath]:
    """Play on the devices in `arguments`."""
    named = arguments.input if arguments.input is not None else arguments.out
    out = arguments.out if arguments.out is not None else named
    if VIRTUAL in (named, out):
        raise UsageError(
            f"--out {VIRTUAL}: it cannot be connected by a cable; leave --in out, or name a device"
        )
    options = LiveOptions(named, out_device=out, rate=arguments.rate, block=arguments.block,
                          slack=arguments.slack)  # fmt: skip
    io = find_io(options)
    if io.source:
        io.source.close()
        raise UsageError(f"--in {named}: a file; give the input that the cable is connected to")
    format, controls = io.format, Controls()
    with ExitStack() as stack:
        host = ModelHost(package, arguments.compute)
        stack.callback(host.close)
        engine = HostedModel(host, format, controls).engine
        engine.compile()
        host.start()
        probe = Probe(format.rate, format.in_map, len(format.out_map))
        mixer = EngineMixer(probe, format.out_rate, format.out_block, len(format.out_map))
        streams = open_streams(mixer, format, io.input, io.output, 0, ClientOptions("rtsep-bench"))
        stack.callback(engine.stop)
        stack.callback(streams.close)
        streams.start()
        mixer.add_incoming(engine)
        until = time.monotonic() + PATIENCE_S
        while not mixer.synced:
            if time.monotonic() > until:
                raise DeviceError(f"{io.name}: it does not play; check whether another program uses it")
            time.sleep(0.01)
        engine.start()
        time.sleep(WARM_UP_S)
        yield CablePath(engine, io, probe, streams, controls, signal)


def _shifted(sound: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Delay `sound` by `frames` frames (with silence before it), or advance it if that is negative."""
    if frames < 0:
        return sound[-frames:]
    return np.concatenate([np.zeros((frames, sound.shape[1]), np.float32), sound])


# --- on the virtual device -----------------------------------------------------------------------------


class FilePath:
    """Path of a file that a session plays on the virtual device."""

    name, exact = "virtual device", True

    def __init__(
        self, package: ModelPackage, options: LiveOptions, sound: NDArray[np.float32], compute: str
    ) -> None:
        self._package, self._options, self._sound = package, options, sound
        self.notes: list[str] = [
            "no device is in this; on a JACK server it is, and with --in, --out and a cable between them"
        ]
        io = resolve_io(options)
        self.format = io.format
        assert io.source
        io.source.close()
        host = ModelHost(package, compute)
        self._latency = HostedModel(host, self.format, Controls()).engine.latency
        host.close()

    @property
    def latency(self) -> LatencyBudget:
        """Return the declared latency of the engine."""
        return self._latency

    def take(self, bypass: bool) -> Take:
        """Play the signal once, separated or bypassed."""
        controls = Controls()
        controls.bypass = bypass
        with playing(self._package, self._options, controls) as live:
            engine = live.session.engine
            self._latency = engine.latency
            played, enough = played_by(engine, 0), len(self._sound) - round(MARGIN_S * self.format.rate)
            follow({played: enough}, live.check, PATIENCE_S + enough / self.format.rate)
            lost = sum(int(engine.counters()[name]) for name in ("underruns", "overruns"))
        return Take(self._sound, played.sound, lost=lost + played.torn)


@contextmanager
def by_file(
    package: ModelPackage, arguments: argparse.Namespace, signal: NDArray[np.float32]
) -> Iterator[FilePath]:
    """Play the signal as a file, on the virtual device."""
    rate = arguments.rate or 44100
    # The latency of a look-ahead model is in its own frames: seconds, for some.
    latency_s = package.spec.algorithmic_latency / min(package.spec.rates)
    lead, tail = round(WARM_UP_S * rate), round((latency_s + SPARE_S + MARGIN_S) * rate)
    silence = np.zeros((1, signal.shape[1]), np.float32)
    sound = np.concatenate([silence.repeat(lead, 0), signal, silence.repeat(tail, 0)])
    with tempfile.TemporaryDirectory(prefix="rtsep-bench-") as folder:
        wav_path = Path(folder) / "signal.wav"
        soundfile.write(wav_path, sound, rate, subtype="FLOAT")
        options = LiveOptions(
            str(wav_path), out="both", out_device=VIRTUAL, block=arguments.block, slack=arguments.slack,
            compute=arguments.compute,
        )  # fmt: skip
        yield FilePath(package, options, sound, arguments.compute)


def _turn(controls: Controls, bypass: bool) -> None:
    controls.bypass = bypass
    time.sleep(SETTLE_S)
