"""PulseAudio as an audio back end, and PipeWire where it takes PulseAudio's place.

Latency of playback: the server takes a burst, a sixth of what it may keep where its device allows that (see
`pulse_library`), and it has a margin ready below which its buffer does not sink; a block is played after
both. Of capture: the server sends fragments of a block, which the engine counts as one.
"""

from __future__ import annotations

from rtsep.audio import pulse_server
from rtsep.audio.backend import PULSE, AudioStream, Device, StreamRequest
from rtsep.audio.pulse_library import Side
from rtsep.audio.pulse_server import MONITOR_SUFFIX, PulseEnd, PulseServer
from rtsep.audio.pulse_virtual import VOICE_SOURCE
from rtsep.errors import DeviceError
from rtsep.limits import HIGHEST_RATE

KEPT_S = 0.06
"""What the server may keep of what we play, its device's buffer included: as much as a busy desktop needs."""

BURST, MARGIN = 0.3, 0.4
"""Shares of KEPT_S: what the server takes at once, and what it always has ready besides."""

SLACK_S, LATE_S = 0.006, 0.02
"""Extra time for the model: often our threads run at normal priority, beside other programs. And for input:
so do those of the server, whose fragments come late at times."""

MOST_ADDED_S = 0.1
"""Latency beyond the algorithm that is not exceeded for the sake of calls that come late."""

FIRST_INDEX = 1000
"""Device numbers of this back end: this plus twice the server's own number, and one more for a source."""

MOST_CHANNELS = 32


class PulseBackend:
    """The sinks and sources of the one server of this desktop, where one answers."""

    def __init__(self) -> None:
        self.server: PulseServer | None = None
        """The server as `look` has found it."""

    def look(self) -> PulseServer | None:
        """Look for the server and return it."""
        self.server = pulse_server.find_server()
        return self.server

    def devices(self) -> list[Device]:
        """Return sinks, then sources, as `look` has found them."""
        return self.devices_of(self.server)

    @staticmethod
    def devices_of(server: PulseServer | None) -> list[Device]:
        """Return the sinks and sources of `server` as devices."""
        if server is None:
            return []
        return [_device(sink, playback=True) for sink in server.sinks] + [
            _device(source, playback=False) for source in server.sources
        ]

    @staticmethod
    def defaults_of(server: PulseServer) -> dict[str, int]:
        """Return the device numbers of the default "input" and "output" of `server`; -1 is none.

        A server without a microphone names the monitor of a sink as its default source: that is none.
        """
        microphones = [
            source for source in server.sources if not source.is_monitor and source.name != VOICE_SOURCE
        ]
        source = next((s for s in microphones if s.name == server.default_source), None)
        source = source or next(iter(microphones), None)
        sink = next((s for s in server.sinks if s.name == server.default_sink), None)
        sink = sink or next(iter(server.sinks), None)
        return {
            "input": _device(source, playback=False).index if source else -1,
            "output": _device(sink, playback=True).index if sink else -1,
        }

    def check(self, device: Device, kind: str, channels: int, rate: int) -> None:
        """Raise `DeviceError` for a rate that the server does not convert."""
        if rate > HIGHEST_RATE or channels > MOST_CHANNELS:
            raise DeviceError(f"{device.name} cannot do {channels} channels at {rate} Hz")

    def compile(self) -> None:
        """Compile the loops of its streams, or load them from the cache."""
        from rtsep.audio import pulse_stream  # needs libpulse

        pulse_stream.compile_loops()

    def open(self, request: StreamRequest) -> AudioStream:
        """Open a sink or a source: the two never share a clock that we could know of."""
        from rtsep.audio.pulse_stream import PulseStream  # needs libpulse

        device = request.output or request.input
        assert device
        playback = request.output is not None
        end = self._end(device)
        side = Side(
            device=device.system_name,
            playback=playback,
            channels=request.outputs if playback else request.inputs,
            positions=end.positions if end else (),
            rate=request.rate,
            latency=round(KEPT_S * request.rate) if playback else request.block,
            title="separated sound" if playback else "input to separate",
            client=request.client.name,
            device_index=end.index if end else -1,
            barred=self._sink_index(request.client.never_on),
            stays=not playback and device.system_name == request.client.never_on + MONITOR_SUFFIX,
        )
        margin = round(MARGIN * KEPT_S * request.rate)
        return PulseStream(request.mixer, side, device, request.block, margin)

    def _end(self, device: Device) -> PulseEnd | None:
        ends = (*self.server.sinks, *self.server.sources) if self.server else ()
        return next((end for end in ends if end.name == device.system_name), None)

    def _sink_index(self, name: str) -> int:
        sinks = self.server.sinks if self.server else ()
        return next((sink.index for sink in sinks if sink.name == name), -1)


def _device(end: PulseEnd, playback: bool) -> Device:
    channels = len(end.positions)
    return Device(
        index=FIRST_INDEX + 2 * end.index + (0 if playback else 1),
        name=end.title,
        api=PULSE,
        inputs=0 if playback else channels,
        outputs=channels if playback else 0,
        rate=end.rate,
        output_latency_s=(BURST + MARGIN) * KEPT_S if playback else 0.0,
        slack_s=SLACK_S if playback else LATE_S,
        most_added_s=MOST_ADDED_S,
        system_name=end.name,
    )
