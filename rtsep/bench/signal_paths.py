"""The signal paths of `rtsep bench roundtrip`: each is a running engine with the capture of its output.

On a JACK server, clients of our own send it and hear it, and hear it directly as well. With `--in` and
`--out`, a sound card plays it and hears it again through a cable; the engine hears along, and what it gives
to be played lies on the same clock. Without either, a session on the virtual device plays it as a file.
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
from rtsep.bench.playing import playing, say
from rtsep.controls import Controls
from rtsep.errors import DeviceError, UsageError
from rtsep.model.package import ModelPackage
from rtsep.session.endpoints import ResolvedIO, resolve_io
from rtsep.session.hosted_model import HostedModel, ModelHost
from rtsep.session.options import VIRTUAL, LiveOptions

WARM_UP_S = 1.0
SETTLE_S = 0.3  # after the bypass was turned
LEAD_S = 0.1
SPARE_S = 0.5
"""How much later than declared the signal is still looked for: what a sound card may add."""

MARGIN_S = 1.0  # of a played file, behind all that is looked at: it is still open then
PATIENCE_S = 10.0


class Take(NamedTuple):
    """What was heard of one playing of the signal; all on one clock, from one frame on."""

    reference: NDArray[np.float32]  # [frames, channels] what went in
    played: NDArray[np.float32]  # [frames, output channels] what the session's outputs gave
    heard: NDArray[np.float32] | None = None  # [frames, channels] what came back without an engine
    lost: int = 0  # frames that were lost on the way


class SignalPath(Protocol):
    """A running engine that a signal can be sent through."""

    name: str
    format: StreamFormat
    exact: bool  # every sample comes back as it was, but for the engine
    notes: list[str]

    @property
    def latency(self) -> LatencyBudget:
        """What the engine declares."""

    def take(self, bypass: bool) -> Take:
        """Play the signal once, separated or bypassed."""


def open_path(
    arguments: argparse.Namespace, package: ModelPackage, signal: NDArray[np.float32]
) -> AbstractContextManager[SignalPath]:
    """Open the way that `arguments` ask for: a cable, the JACK server that runs, or the virtual device."""
    if arguments.input is not None or arguments.out not in (None, VIRTUAL):
        return by_cable(package, arguments, signal)
    if arguments.out is None:
        try:
            if devices.look().jack:
                return on_jack(package, arguments, signal)
        except DeviceError as error:
            say(str(error))
    return by_file(package, arguments, signal)


# --- on a JACK server ------------------------------------------------------------------------------------


class JackPath:
    """Between two clients of a JACK server."""

    name, exact = "JACK server", True

    def __init__(self, rig: JackRig, controls: Controls, signal: NDArray[np.float32]) -> None:
        self.format, self.notes = rig.live.session.io.format, rig.live.session.io.notes
        self._rig, self._controls, self._signal = rig, controls, signal

    @property
    def latency(self) -> LatencyBudget:
        """What the engine declares."""
        return self._rig.live.session.engine.latency

    def take(self, bypass: bool) -> Take:
        """Play the signal once, separated or bypassed."""
        rig, rate = self._rig, self.format.rate
        _turn(self._controls, bypass)
        before, hearing = rig.losses, rig.recorder.hearing()
        lead = round(LEAD_S * rate) + 4 * self.format.block
        rig.player.play(self._signal, lead)
        enough = lead + len(self._signal) + self.latency.total + round(SPARE_S * rate)
        follow({hearing: enough}, rig.check, PATIENCE_S + enough / rate)
        time.sleep(0.05)  # of an xrun another thread tells
        reference, played = np.split(hearing.sound, [self._signal.shape[1]], axis=1)
        return Take(reference, played, lost=rig.losses - before + hearing.torn)


@contextmanager
def on_jack(
    package: ModelPackage, arguments: argparse.Namespace, signal: NDArray[np.float32]
) -> Iterator[JackPath]:
    """Play on the server that runs, connected to clients of our own only."""
    controls = Controls()
    with jack_rig(package, controls, arguments.compute, arguments.slack) as rig:
        for given, is_there, option in (
            (arguments.rate, rig.live.session.io.format.rate, "rate"),
            (arguments.block, rig.live.session.io.format.block, "block"),
        ):
            if given not in (None, is_there):
                say(f"--{option} {given}: the JACK server decides, it is {is_there}")
        time.sleep(WARM_UP_S)
        yield JackPath(rig, controls, signal)


# --- through a cable ---------------------------------------------------------------------------------------


class CablePath:
    """Out of a sound card, through a cable, into it again; an engine hears along."""

    exact = False  # a converter is on the way

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
            self.notes = [*io.notes, "two clocks: what the devices take alone cannot be told"]

    @property
    def latency(self) -> LatencyBudget:
        """What the engine declares."""
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
        played, hearing = played_by(self._engine), self._probe.hearing()
        lead = round(LEAD_S * rate) + 4 * format.out_block
        start = self._probe.play(self._signal, lead)
        declared = math.ceil(self.latency.total * rate / format.rate)
        enough = start - played.first + len(self._signal) + declared + round(SPARE_S * rate)
        wanted = {played: enough, hearing: math.ceil(enough * format.rate / rate)}
        follow(wanted, self.check, PATIENCE_S + enough / rate)
        reference = np.zeros((enough, self._signal.shape[1]), np.float32)
        reference[start - played.first :][: len(self._signal)] = self._signal
        torn = int(played.torn or hearing.torn)
        heard = None if format.two_clocks else _shifted(hearing.sound, hearing.first - played.first)
        return Take(reference, played.sound, heard, self._losses - before + torn)

    def check(self) -> None:
        """Raise where a device plays no more."""
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
    """Play on the devices that `arguments` name."""
    named = arguments.input if arguments.input is not None else arguments.out
    out = arguments.out if arguments.out is not None else named
    if VIRTUAL in (named, out):
        raise UsageError(f"--out {VIRTUAL}: no cable leads from there; leave --in away, or name a device")
    options = LiveOptions(named, out_device=out, rate=arguments.rate, block=arguments.block,
                          slack=arguments.slack)  # fmt: skip
    io = find_io(options)
    if io.source:
        io.source.close()
        raise UsageError(f"--in {named}: a file; name the input that the cable leads to")
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
                raise DeviceError(f"{io.name}: it does not play; is another program using it?")
            time.sleep(0.01)
        engine.start()
        time.sleep(WARM_UP_S)
        yield CablePath(engine, io, probe, streams, controls, signal)


def _shifted(sound: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Let `sound` begin `frames` frames later (silence before it), or earlier where that is negative."""
    if frames < 0:
        return sound[-frames:]
    return np.concatenate([np.zeros((frames, sound.shape[1]), np.float32), sound])


# --- on the virtual device -----------------------------------------------------------------------------


class FilePath:
    """A file that a session plays on the virtual device."""

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
        """What the engine declares."""
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
    # What a look-ahead model takes is in its own frames: seconds, for some.
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
