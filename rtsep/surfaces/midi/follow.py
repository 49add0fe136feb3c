"""The map's file, reloaded: changes to it take effect in a running session."""

from __future__ import annotations

from pathlib import Path

from rtsep.surfaces.midi.map import MidiMap, load_map

EVERY_S = 0.5
"""Interval of checks in seconds."""


class MapFile:
    """Detects changes of the map. A missing file is no change: editors remove a file to replace it."""

    def __init__(self, path: Path) -> None:
        """Watch `path` from its present version on; it need not exist yet."""
        self.path = path
        self._stamp = self._look()

    def changed(self) -> MidiMap | None:
        """Return the map if it has changed since the last call. Raise `UsageError`, once for each change."""
        stamp = self._look()
        if stamp is None or stamp == self._stamp:
            return None
        self._stamp = stamp
        return load_map(self.path)

    def _look(self) -> tuple[int, int, int] | None:
        """Return the version of the file, None if it is missing."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
