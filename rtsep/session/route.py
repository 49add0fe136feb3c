"""Input and output of a session: the options, the devices found for them, the file in play."""

from __future__ import annotations

from typing import NamedTuple

from rtsep.audio.source import FileSource
from rtsep.audio.stretch import AS_RECORDED, Stretch
from rtsep.errors import RtsepError, UsageError
from rtsep.session.desktop import Part, close_parts, parts_wanted, undo_left
from rtsep.session.endpoints import ResolvedIO, resolve_io
from rtsep.session.named_devices import NOTHING_KEPT, Kept
from rtsep.session.options import LiveOptions


def _undo_left() -> list[str]:
    """Undo the changes that killed sessions left; skip this if no sound server answers."""
    try:
        return undo_left()
    except RtsepError:
        return []


class Route(NamedTuple):
    """Devices and file of a session; it is replaced when devices come, go or are switched."""

    options: LiveOptions
    io: ResolvedIO
    source: FileSource | None  # None if no file is played
    parts: tuple[Part, ...] = ()  # changes on the sound server

    @classmethod
    def find(
        cls,
        options: LiveOptions,
        before: Route | None = None,
        lost: bool = False,
        parts: tuple[Part, ...] = (),
        kept: Kept = NOTHING_KEPT,
    ) -> Route:
        """Find the devices for `options`; raise `RtsepError` if something is impossible.

        With `before`, its played file continues in this route, whatever the options are. If its devices were
        `lost`, only these are searched; `kept` are devices to use again, see `resolve_io`. `parts` belong to
        the current route; this one reuses them if it can.
        """
        parts = before.parts if before else parts
        lines = _undo_left() if before is None else []
        ours = parts if lost else parts_wanted(options, parts)
        try:
            io = resolve_io(options, before.io if before else None, lost, ours, kept)
            io.notes[:0] = lines
            if before and io.source is before.io.source:
                return cls(options, io, before.source, ours)
            stretch = Stretch(options.speed, options.key)
            if io.source is None and stretch != AS_RECORDED:
                raise UsageError(f"{io.name}: speed and key need a played file; use --in FILE")
            if io.source is None:
                return cls(options, io, None, ours)
            source = FileSource(io.source, io.format.rate, list(io.format.in_map), stretch)
            return cls(options, io, source, ours)
        except BaseException:
            close_parts(ours, parts)
            raise

    def at_rates(self, rate: int | None, out_rate: int | None) -> Route:
        """Return this route at other rates of input and output in Hz; None: unchanged."""
        return self._replace(io=self.io.at_rates(rate, out_rate))

    def begin(self) -> None:
        """Activate the changes on the sound server: the session plays."""
        for part in self.parts:
            part.begin(self.options)

    def tend(self, latency_s: float) -> list[str]:
        """Return lines for the user about events on the sound server, and about a seek in the file.

        `latency_s` is the current latency from input to output in seconds, which players receive.
        """
        lines = [line for part in self.parts for line in part.tend(latency_s)]
        refusal = self.source.take_refusal() if self.source else ""
        return [*lines, refusal] if refusal else lines

    def rewind(self, frame: int) -> None:
        """Let a file continue on the next engine at `frame` of the ended engine's input."""
        if self.source:
            self.source.stop()
            self.source.go_back(frame)

    def close(self, goes_on: Route | None = None) -> None:
        """Close the file and undo the changes on the sound server, except those that `goes_on` reuses."""
        close_parts(self.parts, goes_on.parts if goes_on else ())
        if self.source and not (goes_on and goes_on.source is self.source):
            self.source.close()
