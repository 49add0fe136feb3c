"""What a session plays from and to: what was asked for, the devices that were found, the file in play."""

from __future__ import annotations

from typing import NamedTuple

from rtsep.audio.source import FileSource
from rtsep.session.endpoints import Ends, resolve_ends
from rtsep.session.options import LiveOptions


class Route(NamedTuple):
    """One of possibly several in a session's life, as devices come, go and are switched."""

    options: LiveOptions
    ends: Ends
    source: FileSource | None  # where a file is played

    @classmethod
    def find(cls, options: LiveOptions, before: Route | None = None, lost: bool = False) -> Route:
        """Find what `options` name; raises `RtsepError` where something cannot be.

        With `before`, a file that it plays goes on in this one, whatever the options say of the input. If its
        devices were `lost`, they are looked for and no others, see `resolve_ends`.
        """
        ends = resolve_ends(options, before.ends if before else None, lost)
        if before and ends.source is before.ends.source:
            return cls(options, ends, before.source)
        if ends.source is None:
            return cls(options, ends, None)
        return cls(options, ends, FileSource(ends.source, ends.form.rate, list(ends.form.in_map)))

    def at_rates(self, rate: int | None, out_rate: int | None) -> Route:
        """Return this route at other rates of input and output in Hz; None: as before."""
        return self._replace(ends=self.ends.at_rates(rate, out_rate))

    def rewind(self, frame: int) -> None:
        """Let a file go on, on the next engine, with `frame` of what it gave the one that has ended."""
        if self.source:
            self.source.stop()
            self.source.go_back(frame)

    def close(self, goes_on: Route | None = None) -> None:
        """Close the file, if one is played and `goes_on` does not play on with it."""
        if self.source and not (goes_on and goes_on.source is self.source):
            self.source.close()
