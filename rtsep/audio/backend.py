"""The contract between the engine and an audio back end: one way to reach sound devices.

A back end is a class with the methods of `Backend`, in a file of its own, and a line in the table of
`rtsep.audio.backends`. Its streams call two compiled functions on their own thread, for every block of the
device: `process_input` and `process_output` of `rtsep.audio.engine_mixer`. Such a callback takes no GIL,
allocates nothing and waits for nothing; tests/audio/test_realtime_safe.py checks the second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rtsep.audio.engine import Format
    from rtsep.audio.engine_mixer import EngineMixer

JACK = -1
"""The device number of the JACK server, which PortAudio does not count."""

FIRST_CLIENT = -1000
"""The device number of the first program on a JACK server; the others follow below."""

PULSE = "PulseAudio"
"""`Device.api` of sinks and sources of a PulseAudio server, or of PipeWire in its place."""

JACK_CHANNELS = 64
"""Ports that we would make on a JACK server: they need no hardware behind them."""

Cables = dict[str, list[str]]
"""The ports that each port of ours, by its short name, is connected to."""


@dataclass(frozen=True)
class Device:
    """One device: a sound card, or a JACK server with all it is connected to."""

    index: int  # no two devices share one
    name: str
    api: str  # chooses the back end, see `rtsep.audio.backends`
    inputs: int  # of the hardware
    outputs: int
    rate: int  # Hz, its default
    input_latency_s: float = 0.0  # what it says of itself, at its lowest
    output_latency_s: float = 0.0
    slack_s: float = 0.0  # extra time that its calls need, where no real-time thread makes them
    most_added_s: float = 0.0  # latency beyond the algorithm that slack by measure keeps to; 0: none is set
    system_name: str = ""  # what its system calls it, where that is not `name`; it names the device as well
    client: str = ""  # of a JACK server: the program that our ports are connected to; "": the sound card

    @property
    def is_jack(self) -> bool:
        """Whether it is a JACK server, or a program there: rate and block are the server's."""
        return self.index == JACK or bool(self.client)

    @property
    def clock(self) -> int:
        """A number that devices share which run by one clock, and are opened as one stream."""
        return JACK if self.is_jack else self.index

    @property
    def is_pulse(self) -> bool:
        """Whether it is a sink or a source of a PulseAudio server."""
        return self.api == PULSE

    @property
    def of_server(self) -> bool:
        """Whether a server of sound offers it, which may end and come back."""
        return self.is_jack or self.is_pulse

    def channels(self, kind: str) -> int:
        """Return how many channels can be opened for "input" or "output"."""
        if self.is_jack and not self.client:
            return JACK_CHANNELS
        return self.inputs if kind == "input" else self.outputs


@dataclass(frozen=True)
class ClientOptions:
    """Wishes for a sound server that connects programs, such as JACK; other back ends ignore them."""

    name: str = "rtsep"  # of our client; the server makes it unique
    connect: bool = True  # our ports to the sound card
    cables: Cables = field(default_factory=dict)
    """Connections to restore. A stream writes its own here when it closes."""
    never_on: str = ""
    """The server's own name of the sink that the input captures: played there, our output would feed back."""


@dataclass(frozen=True)
class StreamRequest:
    """All that a back end needs to open one stream: for input, for output, or for both on one clock."""

    mixer: EngineMixer  # what the stream's callback serves; owns the memory
    form: Format
    input: Device | None
    output: Device | None
    rate: int  # Hz
    block: int  # frames a call
    latency: int  # frames that we add, for a server that makes up for it
    client: ClientOptions

    @property
    def inputs(self) -> int:
        """Interleaved channels of an input block."""
        return max(self.form.in_map) + 1 if self.input else 0

    @property
    def outputs(self) -> int:
        """Interleaved channels of an output block."""
        return len(self.form.out_map) if self.output else 0


class AudioStream(Protocol):
    """An open stream. It is silent until `start`."""

    def start(self) -> None:
        """Let the calls come; raises `DeviceError`."""

    @property
    def lost(self) -> str | None:
        """The reason why the stream plays no more, where the system tells it; None while it plays."""

    @property
    def new_rate(self) -> int | None:
        """The system's new rate in Hz, if it has changed: the sound has faded out, or does so; else None."""

    @property
    def waits_for_us(self) -> bool:
        """Whether the system does not keep time, but waits for us as long as we take."""

    @property
    def moves(self) -> int:
        """How often it was moved to another device while it played. A new device has to start first."""

    @property
    def moved_to(self) -> Device | None:
        """The device that it was moved to last; None: it plays where it was opened."""

    def go_on_at(self, rate: int) -> None:
        """Play on at `new_rate`: the mixer has an engine for it from the next call on."""

    def tend(self) -> list[str]:
        """Do what is due outside of the callbacks; return lines for the user. Called all the time."""

    def tell_latency(self, latency: int) -> None:
        """Tell the system how many frames we add from now on, where it has a use for that."""

    def close(self) -> bool:
        """End the calls; False where the stream does not close any more and was left behind."""


class Backend(Protocol):
    """One way to reach sound devices."""

    def devices(self) -> list[Device]:
        """Return the devices that it can open, as found last; raises `DeviceError`."""

    def check(self, device: Device, kind: str, channels: int, rate: int) -> None:
        """Raise `DeviceError` where `device` cannot do `channels` at `rate` Hz as "input" or "output"."""

    def compile(self) -> None:
        """Compile the callbacks of its streams, or load them from the cache."""

    def open(self, request: StreamRequest) -> AudioStream:
        """Return an open, silent stream; raises `DeviceError`."""
