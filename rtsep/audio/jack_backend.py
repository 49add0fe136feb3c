"""JACK as an audio back end. It loads libjack only to open a stream: most machines have none."""

from __future__ import annotations

from rtsep.audio import jack_library, jack_ports
from rtsep.audio.backend import FIRST_CLIENT, JACK, AudioStream, Device, StreamRequest
from rtsep.audio.jack_plugs import Peers
from rtsep.audio.jack_ports import CALLS, JackServer
from rtsep.errors import DeviceError
from rtsep.realtime.foreign_calls import finish_within

LOOK_PATIENCE_S = 5.0
"""Time limit for an answer of the JACK server in seconds; a slower server is taken to hang."""


class HungServerError(DeviceError):
    """The JACK server does not answer."""


class JackBackend:
    """The JACK server of this machine, if it runs, and the programs on it."""

    def __init__(self) -> None:
        self.server: JackServer | None = None
        """Server found by `look`."""
        self.missing = ""
        """Line for the user about a missing library for a server that `look` has found; "" if none is
        missing."""

    def look(self) -> JackServer | None:
        """Search for the server and return it; raise `HungServerError` or `NoThreadError`."""
        found: list[tuple[JackServer | None, str]] = []

        def look() -> None:
            found.append((jack_ports.find_server(), jack_library.missing()))

        hung = HungServerError("the JACK server does not answer; stop or restart it")
        finish_within(LOOK_PATIENCE_S, look, hung, CALLS)
        ((self.server, self.missing),) = found
        return self.server

    def devices(self) -> list[Device]:
        """Return the server, which represents the sound card, and the programs on it."""
        return self.devices_of(self.server)

    @staticmethod
    def devices_of(server: JackServer | None) -> list[Device]:
        """Return `server`, if any, and the programs on it."""
        if server is None:
            return []
        card = Device(
            index=JACK,
            name=server.name,
            api="JACK",
            inputs=server.captures,
            outputs=server.playbacks,
            rate=server.rate,
        )
        return [
            card,
            *(
                Device(
                    index=FIRST_CLIENT - k,
                    name=c.name,
                    api="JACK",
                    inputs=c.gives,
                    outputs=c.takes,
                    rate=server.rate,
                    client=c.name,
                )
                for k, c in enumerate(server.clients)
            ),
        ]

    def check(self, device: Device, kind: str, channels: int, rate: int) -> None:
        """Raise `DeviceError` if the server has another rate."""
        if rate != device.rate:
            raise DeviceError(f"{device.name} runs at {device.rate} Hz, not at {rate}; leave out --rate")

    def compile(self) -> None:
        """Compile the server's callbacks, or load them from the cache."""
        from rtsep.audio import jack_calls  # needs libjack

        jack_calls.compile_callbacks()

    def open(self, request: StreamRequest) -> AudioStream:
        """Join the server, which sets rate and block."""
        from rtsep.audio.jack_stream import JackStream  # needs libjack

        format = request.format
        names = jack_ports.output_names(format.out_map, format.channels, format.bus) if request.output else []
        peers = Peers(*(device.client if device else "" for device in (request.input, request.output)))
        return JackStream(
            request.mixer, request.inputs, names, request.latency, request.client, request.rate, peers
        )
