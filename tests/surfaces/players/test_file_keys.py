"""Keys for a played file."""

from __future__ import annotations

from types import SimpleNamespace

from rtsep.surfaces.players.file_keys import FileKeys


class Player(FileKeys):
    """Player of a session that records its loops."""

    def __init__(self) -> None:
        self.loops: list[tuple[float, float]] = []
        self.file = "a.wav"
        self._session = SimpleNamespace(loop=lambda start, end: self.loops.append((start, end)))

    def at(self, position: float) -> None:
        """Play at `position`, s."""
        self._session.place = SimpleNamespace(position=position, loop=None)

    def _file(self) -> str:
        return self.file


def test_the_start_of_a_loop_belongs_to_its_file():
    player = Player()
    player.at(120.0)
    assert player.loop_here().startswith("loop from 2:00")
    player.file = "b.wav"
    player.at(30.0)
    assert player.loop_here().startswith("loop from 0:30")
    player.at(20.0)
    assert player.loop_here() == ""
    assert player.loops == [(20.0, 30.0)]
