"""The open streams of a run: on one device, on two with a clock each, or on the stand-in for an output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtsep.audio import jack_ports, portaudio
from rtsep.audio.desk import Desk
from rtsep.audio.devices import Device
from rtsep.audio.engine import Format
from rtsep.audio.portaudio import Stream
from rtsep.audio.virtual import VirtualDevice, compile_clock

if TYPE_CHECKING:
    from rtsep.audio.jack_stream import Cables, JackStream  # needs libjack


def compile_streams(input: Device | None, output: Device | None) -> None:
    """Compile what these devices will call, or load it from the cache; None as for `Streams`."""
    used = [device for device in (input, output) if device]
    if output is None:
        compile_clock()
    if any(device.is_jack for device in used):
        from rtsep.audio import jack_stream  # needs libjack

        jack_stream.compile_callbacks()
    if any(not device.is_jack for device in used):
        portaudio.compile_callback()


class Streams:
    """Whatever calls a desk. Opened silent: `start` lets the calls come."""

    def __init__(
        self,
        desk: Desk,
        form: Format,
        input: Device | None,
        output: Device | None,
        latency: int,
        client_name: str,
        connect: bool,
        cables: Cables,
    ) -> None:
        """Open `input` (None: a file is played) and `output` (None: the virtual device) as `form` says.

        `latency`, `client_name`, `connect` and `cables` are for a JACK server, see `JackStream`. Raises
        `DeviceError`, and leaves nothing open.
        """
        self._desk, self._form, self._output = desk, form, output
        self._on_jack = latency, client_name, connect, cables
        self._streams: list[Stream | JackStream] = []
        self._virtual: VirtualDevice | None = None
        heard = (input, max(form.in_map) + 1) if input else None
        played = (output, len(form.out_map)) if output else None
        try:
            if heard and played and not form.two_clocks:
                self._open(heard, played, form.rate, form.block)
            else:
                if heard:
                    self._open(heard, None, form.rate, form.block)
                if played:
                    self._open(None, played, form.out_rate, form.out_block)
        except BaseException:
            self.close()
            raise

    def _open(
        self, heard: tuple[Device, int] | None, played: tuple[Device, int] | None, rate: int, block: int
    ) -> None:
        desk, form = self._desk, self._form
        if not any(end[0].is_jack for end in (heard, played) if end):
            inputs, outputs = (((end[0].index, end[1]) if end else None) for end in (heard, played))
            self._streams.append(Stream(desk, desk.slots, inputs, outputs, rate, block))
            return
        from rtsep.audio.jack_stream import JackStream  # needs libjack

        latency, client_name, connect, cables = self._on_jack
        names = jack_ports.output_names(form.out_map, form.channels) if played else []
        ports = heard[1] if heard else 0
        self._streams.append(
            JackStream(desk, desk.slots, client_name, ports, names, latency, connect, cables)
        )

    def start(self) -> None:
        """Let the calls come. Raises `DeviceError`."""
        if self._output is None:
            form = self._form
            self._virtual = VirtualDevice(self._desk.slots, len(form.out_map), form.out_block, form.out_rate)
            self._virtual.start()
        for stream in self._streams:
            stream.start()

    @property
    def lost(self) -> str | None:
        """Why one of them plays no more, where that is told; None while they play."""
        return next((reason for stream in self._streams if (reason := stream.lost)), None)

    def tell_latency(self, latency: int) -> None:
        """Tell whoever makes up for it what we add from now on, in frames."""
        for stream in self._streams:
            stream.tell_latency(latency)

    def close(self) -> None:
        """End the calls; a stream that does not close any more is left behind."""
        for stream in self._streams:
            stream.close()
        self._streams = []
        if self._virtual:
            self._virtual.stop()
            self._virtual = None
