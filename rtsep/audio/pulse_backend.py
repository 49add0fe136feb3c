"""PulseAudio as an audio back end, and PipeWire in place of PulseAudio.

Playback latency: the server takes a burst (a sixth of its buffer if its device allows that, see
`pulse_library`), and keeps a margin below which its buffer does not sink; a block is played after both.
Capture latency: the server sends fragments of a block, which the engine counts as one.
"""

from __future__ import annotations

from rtsep.audio import pulse_server
from rtsep.audio.backend import PULSE, AudioStream, Device, StreamRequest
from rtsep.audio.pulse_library import Side
from rtsep.audio.pulse_server import MONITOR_SUFFIX, PulseEnd, PulseServer
from rtsep.audio.pulse_virtual import OUR_SINKS, VOICE_SOURCE
from rtsep.errors import DeviceError
from rtsep.limits import HIGHEST_RATE

KEPT_S = 0.06
"""Maximum buffer of the server for rtsep's output in seconds, device included; a busy desktop needs this."""

BURST, MARGIN = 0.3, 0.4
"""Shares of KEPT_S: the amount that the server takes at once, and the amount that it keeps ready besides."""

SLACK_S, LATE_S = 0.006, 0.02
"""Extra time for the model, because threads often run at normal priority beside other programs; and extra
time for input, because the server's threads do too, and its fragments are sometimes late. In seconds."""

MAX_ADDED_S = 0.1
"""Limit of latency beyond the algorithm, in seconds, that late calls may not exceed."""

FIRST_INDEX = 1000
"""First device number of this back end, plus twice the server's own number, plus one for a source."""

MAX_CHANNELS = 32


class PulseBackend:
    """Sinks and sources of this desktop's server, if it answers."""

    def __init__(self) -> None:
        self.server: PulseServer | None = None
        """Server found by `look`."""

    def look(self) -> PulseServer | None:
        """Search for the server and return it."""
        self.server = pulse_server.find_server()
        return self.server

    def devices(self) -> list[Device]:
        """Return sinks, then sources, as found by `look`."""
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
        """Return the device numbers of the default "input" and "output" of `server`; -1: none.

        A server without a microphone gives the monitor of a sink as its default source, which is not
        accepted. rtsep's own sinks and its virtual microphone are never a default: they end with a session.
        """
        microphones = [
            source for source in server.sources if not source.is_monitor and source.name != VOICE_SOURCE
        ]
        source = next((s for s in microphones if s.name == server.default_source), None)
        source = source or next(iter(microphones), None)
        sinks = [sink for sink in server.sinks if sink.name not in OUR_SINKS]
        sink = next((s for s in sinks if s.name == server.default_sink), None)
        sink = sink or next(iter(sinks), None)
        return {
            "input": _device(source, playback=False).index if source else -1,
            "output": _device(sink, playback=True).index if sink else -1,
        }

    def check(self, device: Device, kind: str, channels: int, rate: int) -> None:
        """Raise `DeviceError` for a rate that the server cannot convert."""
        if rate > HIGHEST_RATE or channels > MAX_CHANNELS:
            raise DeviceError(f"{device.name} cannot do {channels} channels at {rate} Hz; leave out --rate")

    def compile(self) -> None:
        """Compile the loops of its streams, or load them from the cache."""
        from rtsep.audio import pulse_stream  # needs libpulse

        pulse_stream.compile_loops()

    def open(self, request: StreamRequest) -> AudioStream:
        """Open a sink or a source; a common clock of the two is unknown, so each has its own stream."""
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
        max_added_s=MAX_ADDED_S,
        system_name=end.name,
    )
