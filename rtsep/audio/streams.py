"""The open streams of a run: on one device, on two with their own clocks, or on the virtual device."""

from __future__ import annotations

from rtsep.audio.backend import AudioStream, ClientOptions, Device, StreamRequest
from rtsep.audio.backends import backend_of
from rtsep.audio.engine import StreamFormat
from rtsep.audio.engine_mixer import EngineMixer
from rtsep.audio.virtual import VIRTUAL_DEVICE


def compile_streams(input: Device | None, output: Device | None) -> None:
    """Compile the callbacks of these devices, or load them from the cache; None as for `Streams`."""
    used = [device for device in (input, output or VIRTUAL_DEVICE) if device]
    for backend in {id(found): found for found in map(backend_of, used)}.values():
        backend.compile()


class Streams:
    """Streams that call a mixer. They open silent; `start` begins the calls."""

    def __init__(
        self,
        mixer: EngineMixer,
        format: StreamFormat,
        input: Device | None,
        output: Device | None,
        latency: int,
        client: ClientOptions,
    ) -> None:
        """Open `input` (None: a file is played) and `output` (None: the virtual device) with format `format`.

        `latency` and `client` are for a sound server, see `StreamRequest`. Raise `DeviceError`, and leave
        nothing open.
        """
        self._streams: list[AudioStream] = []
        played = output or VIRTUAL_DEVICE
        self._sides: list[tuple[Device | None, Device | None, int, int]]
        if input and not format.two_clocks:
            self._sides = [(input, played, format.rate, format.block)]
        else:
            self._sides = [(input, None, format.rate, format.block)] if input else []
            self._sides.append((None, played, format.out_rate, format.out_block))
        try:
            for input_device, output_device, rate, block in self._sides:
                request = StreamRequest(
                    mixer=mixer,
                    format=format,
                    input=input_device,
                    output=output_device,
                    rate=rate,
                    block=block,
                    latency=latency,
                    client=client,
                )
                self._streams.append(backend_of(input_device or played).open(request))
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start the calls. Raise `DeviceError` if that fails."""
        for stream in self._streams:
            stream.start()

    @property
    def lost(self) -> str | None:
        """Return the reported reason if a stream has stopped; None while they play."""
        return next((reason for stream in self._streams if (reason := stream.lost)), None)

    @property
    def new_rates(self) -> tuple[int | None, int | None]:
        """Return the new rates in Hz of input and output, None if unchanged."""
        rates: list[int | None] = [None, None]
        for (input_device, output_device, *_), stream in zip(self._sides, self._streams, strict=True):
            new = stream.new_rate
            rates = [new if input_device and new else rates[0], new if output_device and new else rates[1]]
        return rates[0], rates[1]

    def go_on_at(self, rate: int, out_rate: int) -> None:
        """Play on at these rates of input and output: the mixer has an engine for them."""
        for (input_device, *_), stream in zip(self._sides, self._streams, strict=True):
            stream.go_on_at(rate if input_device else out_rate)

    @property
    def moves(self) -> int:
        """Return how often the streams were moved to other devices, in total."""
        return sum(stream.moves for stream in self._streams)

    @property
    def moved_to(self) -> tuple[Device | None, Device | None]:
        """Return the devices of the last moves of input and output; None: where they were opened."""
        moved: list[Device | None] = [None, None]
        for (input_device, output_device, *_), stream in zip(self._sides, self._streams, strict=True):
            to = stream.moved_to
            moved = [to if input_device else moved[0], to if output_device else moved[1]]
        return moved[0], moved[1]

    @property
    def waits_for_us(self) -> bool:
        """Return whether one of them does not keep time, but waits for rtsep."""
        return any(stream.waits_for_us for stream in self._streams)

    def tend(self) -> list[str]:
        """Do due work outside the callbacks; return lines for the user."""
        return [line for stream in self._streams for line in stream.tend()]

    def report_latency(self, latency: int) -> None:
        """Report rtsep's added latency in frames to systems that compensate it."""
        for stream in self._streams:
            stream.report_latency(latency)

    def close(self) -> None:
        """End the calls; abandon a stream that does not close."""
        for stream in self._streams:
            stream.close()
        self._streams, self._sides = [], []
