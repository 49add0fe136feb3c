"""A session on a JACK server between rtsep's own player and recorder, without other connections.

Player and recorder are two clients: a client connected to itself closes a loop in the server's graph, which
the server opens by a delay of a period somewhere in it. Player -> session -> recorder is a line, and the
recorder gets the player's direct signal in the same call: the two can be compared exact to the sample,
without a clock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtsep.audio import jack_ports
from rtsep.audio.backend import Cables, ClientOptions
from rtsep.audio.engine_mixer import EngineMixer
from rtsep.audio.probe import Probe
from rtsep.bench.playing import Playing, playing
from rtsep.controls import Controls
from rtsep.errors import DeviceError
from rtsep.model.package import ModelPackage
from rtsep.session.options import LiveOptions

if TYPE_CHECKING:
    from rtsep.audio.jack_stream import JackStream  # needs libjack

SIDES = 2


@dataclass
class JackRig:
    """Session between player and recorder."""

    live: Playing
    player: Probe  # plays SIDES channels into the session
    recorder: Probe  # records those SIDES channels, then all outputs of the session
    _streams: list[JackStream]

    def check(self) -> None:
        """Raise `DeviceError` if one of the streams has stopped."""
        self.live.check()
        for stream in self._streams:
            if stream.lost:
                raise DeviceError(f"{stream.lost}; try again")

    @property
    def losses(self) -> int:
        """Return how often frames were lost so far, anywhere on the path."""
        counted = self.live.session.engine.counters()
        lost = sum(int(counted[name]) for name in ("underruns", "overruns", "device_xruns"))
        return lost + self.player.xruns + self.recorder.xruns


@contextmanager
def jack_rig(
    package: ModelPackage, controls: Controls, compute: str = "cpu", slack: int | None = None
) -> Iterator[JackRig]:
    """Play on the running JACK server; raise `RtsepError` if that is impossible."""
    session, player, recorder = (f"rtsep-bench-{os.getpid()}{role}" for role in ("", "-out", "-in"))
    options = LiveOptions(
        out="both", slack=slack, client_name=session, connect=False, reconnect=False, compute=compute
    )
    with ExitStack() as stack:
        live = stack.enter_context(playing(package, options, controls))
        format = live.session.io.format
        ports = [f"{player}:out_{k}" for k in range(SIDES)]
        ports += [
            f"{session}:{name}"
            for name in jack_ports.output_names(format.out_map, format.channels, format.bus)
        ]
        streams: list[JackStream] = []

        def join(name: str, probe: Probe, inputs: int, outputs: list[str], cables: Cables) -> None:
            from rtsep.audio.jack_stream import JackStream  # needs libjack

            mixer = EngineMixer(probe, format.rate, format.block, len(outputs))
            client = ClientOptions(name, connect=False, cables=cables)
            streams.append(JackStream(mixer, inputs, outputs, 0, client, format.rate))
            stack.callback(streams[-1].close)

        player_probe = Probe(format.rate, (), SIDES)
        recorder_probe = Probe(format.rate, tuple(range(len(ports))), 0)
        join(player, player_probe, 0, [f"out_{k}" for k in range(SIDES)], {
            f"out_{k}": [f"{session}:in_{k}"] for k in range(SIDES)
        })  # fmt: skip
        join(recorder, recorder_probe, len(ports), [], {f"in_{k}": [port] for k, port in enumerate(ports)})
        for stream in streams:
            stream.start()
        yield JackRig(live=live, player=player_probe, recorder=recorder_probe, _streams=streams)
