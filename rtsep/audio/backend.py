"""The contract between the engine and an audio back end: one way to reach sound devices.

A back end is a class with the methods of `Backend`, in its own file, and a line in the table of
`rtsep.audio.backends`. Its streams call two compiled functions on their own thread for every block of the
device: `process_input` and `process_output` of `rtsep.audio.engine_mixer`. Such a callback takes no GIL,
allocates nothing and never waits; tests/audio/test_realtime_safe.py checks that it allocates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rtsep.audio.engine import StreamFormat
    from rtsep.audio.engine_mixer import EngineMixer

JACK = -1
"""Device number of the JACK server, outside PortAudio's numbering."""

FIRST_CLIENT = -1000
"""Device number of the first program on a JACK server; the others count down from it."""

PULSE = "PulseAudio"
"""`Device.api` of sinks and sources of a PulseAudio server, or of PipeWire in its place."""

JACK_CHANNELS = 64
"""Maximum number of rtsep's ports on a JACK server: they need no hardware."""

Cables = dict[str, list[str]]
"""Connected ports for each of rtsep's ports, by its short name."""


@dataclass(frozen=True)
class Device:
    """Sound device: a card, a server's sink or source, or a JACK server with everything connected to it."""

    index: int  # unique
    name: str
    api: str  # selects the back end, see `rtsep.audio.backends`
    inputs: int  # hardware channels
    outputs: int
    rate: int  # default rate in Hz
    input_latency_s: float = 0.0  # reported by the device, at its lowest setting
    output_latency_s: float = 0.0
    slack_s: float = 0.0  # extra time for its calls if no real-time thread makes them
    max_added_s: float = 0.0  # limit of latency beyond the algorithm for automatic slack; 0: none
    system_name: str = ""  # the system's name, if it differs from `name`; also accepted as a name
    client: str = ""  # on a JACK server: the program to connect to; "": the sound card

    @property
    def is_jack(self) -> bool:
        """Return whether it is a JACK server or a program on one, where the server sets rate and block."""
        return self.index == JACK or bool(self.client)

    @property
    def clock(self) -> int:
        """Return a number shared by devices with a common clock, which are opened as one stream."""
        return JACK if self.is_jack else self.index

    @property
    def is_pulse(self) -> bool:
        """Return whether it is a sink or a source of a PulseAudio server."""
        return self.api == PULSE

    @property
    def of_server(self) -> bool:
        """Return whether a sound server provides it; a server can end and come back."""
        return self.is_jack or self.is_pulse

    def channels(self, kind: str) -> int:
        """Return the number of channels that can be opened for "input" or "output"."""
        if self.is_jack and not self.client:
            return JACK_CHANNELS
        return self.inputs if kind == "input" else self.outputs


@dataclass(frozen=True)
class ClientOptions:
    """Options for a sound server that connects programs, such as JACK; other back ends ignore them."""

    name: str = "rtsep"  # name of rtsep's client; the server makes it unique
    connect: bool = True  # connect rtsep's ports to the sound card
    cables: Cables = field(default_factory=dict)
    """Connections to restore. A stream stores its own here when it closes."""
    never_on: str = ""
    """Server's name of the sink that the input captures; output there would feed back."""


@dataclass(frozen=True)
class StreamRequest:
    """Everything that a back end needs to open one stream: input, output, or both on one clock."""

    mixer: EngineMixer  # called by the stream's callback; owns the memory
    format: StreamFormat
    input: Device | None
    output: Device | None
    rate: int  # Hz
    block: int  # frames per call
    latency: int  # frames that rtsep adds, for a server that compensates latency
    client: ClientOptions

    @property
    def inputs(self) -> int:
        """Return the interleaved channels of an input block."""
        return max(self.format.in_map) + 1 if self.input else 0

    @property
    def outputs(self) -> int:
        """Return the interleaved channels of an output block."""
        return len(self.format.out_map) if self.output else 0


class AudioStream(Protocol):
    """Open stream. It is silent until `start`."""

    def start(self) -> None:
        """Start the calls; raise `DeviceError` if that fails."""

    @property
    def lost(self) -> str | None:
        """Return the reason if the system reports that the stream has stopped; None while it plays."""

    @property
    def new_rate(self) -> int | None:
        """Return the system's new rate in Hz if it has changed (the output then fades out), else None."""

    @property
    def waits_for_us(self) -> bool:
        """Return whether the system does not keep time, but waits for rtsep."""

    @property
    def moves(self) -> int:
        """Return how often the stream was moved to another device. A new device needs time to start."""

    @property
    def moved_to(self) -> Device | None:
        """Return the device that the stream was moved to last; None: it is where it was opened."""

    def go_on_at(self, rate: int) -> None:
        """Play on at `new_rate`: from the next call on, the mixer has an engine for it."""

    def tend(self) -> list[str]:
        """Do due work outside the callbacks; return lines for the user. Called continually."""

    def report_latency(self, latency: int) -> None:
        """Report rtsep's added latency in frames to the system, if it uses that."""

    def close(self) -> bool:
        """End the calls; return False if the stream does not close and was abandoned."""


class Backend(Protocol):
    """Interface to one kind of sound devices."""

    def devices(self) -> list[Device]:
        """Return the devices of the last search; raise `DeviceError`."""

    def check(self, device: Device, kind: str, channels: int, rate: int) -> None:
        """Raise `DeviceError` if `device` cannot do `channels` at `rate` Hz as "input" or "output"."""

    def compile(self) -> None:
        """Compile the callbacks of its streams, or load them from the cache."""

    def open(self, request: StreamRequest) -> AudioStream:
        """Return an open, silent stream; raise `DeviceError` if that fails."""
