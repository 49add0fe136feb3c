"""What a session plays from and to: what was asked for, the devices that were found, the file in play."""

from __future__ import annotations

from typing import NamedTuple

from rtsep.audio.source import FileSource
from rtsep.errors import RtsepError
from rtsep.session.desktop import Part, close_parts, parts_wanted, undo_left
from rtsep.session.endpoints import Ends, resolve_ends
from rtsep.session.options import LiveOptions


def _undo_left() -> list[str]:
    """Undo what killed sessions have left; it waits for another time where no sound server answers."""
    try:
        return undo_left()
    except RtsepError:
        return []


class Route(NamedTuple):
    """One of possibly several in a session's life, as devices come, go and are switched."""

    options: LiveOptions
    ends: Ends
    source: FileSource | None  # where a file is played
    parts: tuple[Part, ...] = ()  # what it changes on the sound server

    @classmethod
    def find(
        cls,
        options: LiveOptions,
        before: Route | None = None,
        lost: bool = False,
        parts: tuple[Part, ...] = (),
    ) -> Route:
        """Find what `options` name; raises `RtsepError` where something cannot be.

        With `before`, a file that it plays goes on in this one, whatever the options say of the input. If its
        devices were `lost`, they are looked for and no others, see `resolve_ends`. `parts` are those of the
        route that plays now, which this one goes on with where it can.
        """
        parts = before.parts if before else parts
        lines = _undo_left() if before is None else []
        ours = parts if lost else parts_wanted(options, parts)
        try:
            ends = resolve_ends(options, before.ends if before else None, lost, ours)
            ends.notes[:0] = lines
            if before and ends.source is before.ends.source:
                return cls(options, ends, before.source, ours)
            if ends.source is None:
                return cls(options, ends, None, ours)
            source = FileSource(ends.source, ends.form.rate, list(ends.form.in_map))
            return cls(options, ends, source, ours)
        except BaseException:
            close_parts(ours, parts)
            raise

    def at_rates(self, rate: int | None, out_rate: int | None) -> Route:
        """Return this route at other rates of input and output in Hz; None: as before."""
        return self._replace(ends=self.ends.at_rates(rate, out_rate))

    def begin(self) -> None:
        """Let the changes on the sound server take effect: it plays."""
        for part in self.parts:
            part.begin(self.options)

    def tend(self, latency_s: float) -> list[str]:
        """Return lines for the user of what has happened on the sound server.

        `latency_s` is that from input to output, as it is now: players are told of it.
        """
        return [line for part in self.parts for line in part.tend(latency_s)]

    def rewind(self, frame: int) -> None:
        """Let a file go on, on the next engine, with `frame` of what it gave the one that has ended."""
        if self.source:
            self.source.stop()
            self.source.go_back(frame)

    def close(self, goes_on: Route | None = None) -> None:
        """Close the file, and undo the changes on the sound server, but what `goes_on` goes on with."""
        close_parts(self.parts, goes_on.parts if goes_on else ())
        if self.source and not (goes_on and goes_on.source is self.source):
            self.source.close()
