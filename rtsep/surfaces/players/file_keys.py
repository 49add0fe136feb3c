"""What the keys of a played file do, the same for a session of this program and of another one."""

from __future__ import annotations

from typing import Protocol

from rtsep.audio.splices import Place
from rtsep.surfaces.players.player import clock


class PlaysFile(Protocol):
    """The part of `rtsep.Session` that moves about in a played file."""

    @property
    def place(self) -> Place | None:
        """Where the file stands; None where none is played."""

    def pause(self) -> None:
        """Let it stand still."""

    def resume(self) -> None:
        """Let it go on."""

    def skip(self, seconds: float) -> None:
        """Go by so much."""

    def loop(self, start: float, end: float) -> None:
        """Play from `start` to `end`, in seconds, again and again."""

    def stop_loop(self) -> None:
        """Loop no more."""


class FileKeys:
    """Pause, skip and loop of a player. Each raises `UsageError` where no file is played."""

    _session: PlaysFile
    _loop_from: float | None = None  # s in the file

    def pause(self) -> str:
        """Let the played file stand still, or go on."""
        place = self._session.place
        if place and place.paused:
            self._session.resume()
        else:
            self._session.pause()
        return ""

    def skip(self, seconds: float) -> str:
        """Go by so much in the played file."""
        self._session.skip(seconds)
        return ""

    def loop_here(self) -> str:
        """Begin a loop at what is heard, or end it there, or loop no more."""
        place, begun = self._session.place, self._loop_from
        self._loop_from = None
        if place is None or place.loop:
            self._session.stop_loop()
            return "no loop any more"
        if begun is None:
            self._loop_from = place.position
            return f"a loop from {clock(place.position)} on; a again sets its end"
        self._session.loop(*sorted((begun, place.position)))
        return ""
