"""The file of the map, followed: what is learned or written there is at work in the session that plays."""

from __future__ import annotations

from pathlib import Path

from rtsep.surfaces.midi.map import MidiMap, load_map

EVERY_S = 0.5
"""How often it is looked at."""


class MapFile:
    """Tells when the map has changed. A file that has gone has not: editors take one away to replace it."""

    def __init__(self, path: Path) -> None:
        """Follow `path` from its present state on; it need not be there yet."""
        self.path = path
        self._stamp = self._look()

    def changed(self) -> MidiMap | None:
        """Return the map if it is another one than last time. Raises `UsageError`, once for a change."""
        stamp = self._look()
        if stamp is None or stamp == self._stamp:
            return None
        self._stamp = stamp
        return load_map(self.path)

    def _look(self) -> tuple[int, int, int] | None:
        """Return what tells the version of the file, None where there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
