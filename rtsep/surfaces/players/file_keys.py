"""Effect of the keys for a played file, for a session of this program and of another one."""

from __future__ import annotations

from typing import Protocol

from rtsep.audio.splices import FilePosition
from rtsep.limits import HIGHEST_SPEED, LOWEST_SPEED, MAX_KEY
from rtsep.surfaces.players.player import clock, stretch_in_words


class PlaysFile(Protocol):
    """Part of `rtsep.Session` that controls a played file."""

    @property
    def place(self) -> FilePosition | None:
        """Return the position in the file; None if no file is played."""

    def pause(self) -> None:
        """Pause the file."""

    def resume(self) -> None:
        """Continue the file."""

    def skip(self, seconds: float) -> None:
        """Move by this many seconds."""

    def stretch(self, speed: float | None = None, key: float | None = None) -> None:
        """Play at another speed, a factor, or in another key, in semitones."""

    def loop(self, start: float, end: float) -> None:
        """Repeat the file from `start` to `end`, in seconds."""

    def stop_loop(self) -> None:
        """End the loop."""


class FileKeys:
    """Pause, skip and loop of a player. Each raises `UsageError` if no file is played."""

    _session: PlaysFile
    _loop_from: tuple[str, float] | None = None  # file, and s in it

    def _file(self) -> str:
        """Return the path of the played file; "" if none is played."""
        raise NotImplementedError

    def pause(self) -> str:
        """Pause or continue the played file."""
        place = self._session.place
        if place and place.paused:
            self._session.resume()
        else:
            self._session.pause()
        return ""

    def skip(self, seconds: float) -> str:
        """Move by this many seconds in the played file."""
        self._session.skip(seconds)
        return ""

    def change_speed(self, by: float) -> str:
        """Play faster by so much of the recorded speed, within its range; return the speed in words."""
        place = self._session.place
        speed = (place.speed if place else 1.0) + by
        self._session.stretch(speed=round(min(max(speed, LOWEST_SPEED), HIGHEST_SPEED), 4))
        return self._stretch_in_words()

    def change_key(self, by: float) -> str:
        """Play higher by so many semitones, within the range of the key; return the key in words."""
        place = self._session.place
        key = (place.key if place else 0.0) + by
        self._session.stretch(key=min(max(key, -MAX_KEY), MAX_KEY))
        return self._stretch_in_words()

    def _stretch_in_words(self) -> str:
        place = self._session.place
        return stretch_in_words(place.speed, place.key) or "as recorded" if place else ""

    def loop_here(self) -> str:
        """Start a loop at the current position, or end it there, or remove it."""
        place, file, begun = self._session.place, self._file(), self._loop_from
        self._loop_from = None
        if place is None or place.loop:
            self._session.stop_loop()
            return "the loop is removed"
        if begun is None or begun[0] != file:  # a start in another file means nothing here
            self._loop_from = file, place.position
            return f"loop from {clock(place.position)}; press a again to set its end"
        self._session.loop(*sorted((begun[1], place.position)))
        return ""
