"""JACK as an audio back end. Loads libjack only when a stream is opened: most machines have none."""

from __future__ import annotations

from rtsep.audio import jack_library, jack_ports
from rtsep.audio.backend import FIRST_CLIENT, JACK, AudioStream, Device, StreamRequest
from rtsep.audio.jack_plugs import Peers
from rtsep.audio.jack_ports import JackServer
from rtsep.errors import DeviceError
from rtsep.realtime.foreign_calls import within

LOOK_PATIENCE_S = 5.0
"""A JACK server that does not answer for so long has hung."""


class HungServerError(DeviceError):
    """The JACK server does not answer."""


class JackBackend:
    """The one server of this machine, where one runs, with the programs on it."""

    def __init__(self) -> None:
        self.server: JackServer | None = None
        """The server as `look` has found it."""
        self.missing = ""
        """For the user: a library that would lead to a server that `look` has seen; "" if none is missing."""

    def look(self) -> JackServer | None:
        """Look for the server and return it; raises `HungServerError`."""
        found: list[tuple[JackServer | None, str]] = []

        def look() -> None:
            found.append((jack_ports.find_server(), jack_library.missing()))

        if not within(LOOK_PATIENCE_S, look):
            raise HungServerError("the JACK server has hung; stop it, or start it again")
        ((self.server, self.missing),) = found
        return self.server

    def devices(self) -> list[Device]:
        """Return the server, which stands for the sound card, and the programs on it."""
        return self.devices_of(self.server)

    @staticmethod
    def devices_of(server: JackServer | None) -> list[Device]:
        """Return `server`, where there is one, and the programs on it."""
        if server is None:
            return []
        card = Device(JACK, server.name, "JACK", server.captures, server.playbacks, server.rate)
        return [
            card,
            *(
                Device(FIRST_CLIENT - k, c.name, "JACK", c.gives, c.takes, server.rate, client=c.name)
                for k, c in enumerate(server.clients)
            ),
        ]

    def check(self, device: Device, kind: str, channels: int, rate: int) -> None:
        """Raise `DeviceError` where the server has another rate."""
        if rate != device.rate:
            raise DeviceError(f"{device.name} runs at {device.rate} Hz, not at {rate}; leave --rate away")

    def compile(self) -> None:
        """Compile what the server calls, or load it from the cache."""
        from rtsep.audio import jack_calls  # needs libjack

        jack_calls.compile_callbacks()

    def open(self, request: StreamRequest) -> AudioStream:
        """Join the server; rate and block are its own."""
        from rtsep.audio.jack_stream import JackStream  # needs libjack

        form = request.form
        names = jack_ports.output_names(form.out_map, form.channels, form.bus) if request.output else []
        peers = Peers(*(device.client if device else "" for device in (request.input, request.output)))
        return JackStream(
            request.mixer, request.inputs, names, request.latency, request.client, request.rate, peers
        )
