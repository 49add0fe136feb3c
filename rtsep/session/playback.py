"""One period of playback: the device streams, the mixer that they call, and their watchdog."""

from __future__ import annotations

from rtsep.audio.backend import Cables, ClientOptions, Device
from rtsep.audio.engine import Engine, StreamFormat
from rtsep.audio.engine_mixer import EngineMixer
from rtsep.audio.streams import Streams
from rtsep.session.route import Route
from rtsep.session.watchdog import Watchdog


class Playback:
    """Streams of one route. They stay while engines are switched, and while mixers change for a new rate."""

    def __init__(
        self, engine: Engine, route: Route, frames: int | None, cables: Cables, fades_in: bool
    ) -> None:
        """Open the devices and let them call `engine`; raise `DeviceError`, and leave nothing open.

        At most `frames` of input are played (None: no limit). `cables` are the connections of rtsep's JACK
        ports, and are kept there. With `fades_in`, the output fades in, because it continues in the middle of
        a signal.
        """
        io, format, options = route.io, route.io.format, route.options
        latency = engine.latency.total
        self.mixer = self._first = self._mixer(engine, format, fades_in)
        self._streams = Streams(
            self.mixer, format, io.input, io.output, latency,
            ClientOptions(
                name=options.client_name, connect=options.connect, cables=cables, never_on=io.captured_sink
            ),
        )  # fmt: skip
        try:
            self._streams.start()
        except BaseException:
            self._streams.close()
            raise
        self.watchdog = Watchdog(self._streams, io, frames)

    @staticmethod
    def _mixer(engine: Engine, format: StreamFormat, fades_in: bool) -> EngineMixer:
        latency = engine.latency.total
        silent = -(-latency * format.out_rate // format.rate) if fades_in else None  # frames, rounded up
        return EngineMixer(engine, format.out_rate, format.out_block, len(format.out_map), silent)

    @property
    def new_rates(self) -> tuple[int | None, int | None]:
        """Return new rates of input and output in Hz if the devices changed them; the output fades out."""
        return self._streams.new_rates

    @property
    def moved_to(self) -> tuple[Device | None, Device | None]:
        """Return the devices to which the user moved input and output; None: unchanged."""
        return self._streams.moved_to

    def go_on(self, engine: Engine, route: Route, frames: int | None) -> None:
        """Continue with `engine` at the devices' new rates, on the same streams, with a fade-in.

        At most `frames` of input are played (None: no limit).
        """
        format = route.io.format
        self._streams.go_on_at(format.rate, format.out_rate)
        self.mixer = self._mixer(engine, format, fades_in=True)
        self._first.hand_over(self.mixer)
        self.watchdog = Watchdog(self._streams, route.io, frames)
        self._streams.report_latency(engine.latency.total)

    def drop_replaced(self) -> bool:
        """Release the engines of earlier rates; return False while a call may still use one."""
        return self._first is self.mixer or self._first.drop_replaced()

    def tend(self) -> list[str]:
        """Do due work of the streams; return lines for the user."""
        return self._streams.tend()

    def report_latency(self, frames: int) -> None:
        """Report rtsep's added latency in frames to the devices' system."""
        self._streams.report_latency(frames)

    def close(self) -> None:
        """Stop the callbacks."""
        self._streams.close()


def output_latency_s(format: StreamFormat) -> float:
    """Return the longest time in seconds from a call to the loudspeaker; an earlier close cuts the end."""
    return format.hardware / format.rate + 2 * format.out_block / format.out_rate
