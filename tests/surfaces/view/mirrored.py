"""A program for the tests of what the terminal shows: a scripted session whose view also prints its content.

`python -m tests.surfaces.view.mirrored FILE`: plays; F2 lets all stand still and writes the screen to
FILE, as JSON: a line of cells each, a cell being its upper and its lower half's colour, or glyph, colour
and ground.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

from rich.color import Color, ColorSystem
from textual.binding import Binding, BindingType

from rtsep.surfaces.view.palette import nearest_256
from rtsep.surfaces.view.view import FRAMES_PER_S, LiveView
from tests.surfaces.view.scripted import ScriptedPlayer

SETTLED_S = 0.3


class Mirrored(LiveView):
    """A view that can stand still."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("f2", "stand_still")]
    target: Path
    still = False

    def frame(self) -> None:
        if not self.still:
            super().frame()

    def action_stand_still(self) -> None:
        self.still = True
        self.set_timer(SETTLED_S, self.tell)

    def tell(self) -> None:
        strips = self.screen._compositor.render_strips()
        system = {"256": ColorSystem.EIGHT_BIT}.get(str(self.console.color_system), ColorSystem.TRUECOLOR)
        self.target.write_text(json.dumps([cells(strip, system) for strip in strips]))
        self.exit()


def cells(strip: Any, system: ColorSystem) -> list[list[str]]:
    """Return what the cells of a line look like."""
    found = []
    for text, style, _ in strip:
        front, back = (_shown(c, system) for c in ((style.color, style.bgcolor) if style else (None, None)))
        found += [look(glyph, front, back) for glyph in text]
    return found


def look(glyph: str, front: str, back: str) -> list[str]:
    """Return a cell so that two are equal where they look the same."""
    halves = {" ": [back, back], "▀": [front, back], "▄": [back, front]}.get(glyph)
    return halves or [glyph, front, back]


def _shown(colour: Color | None, system: ColorSystem) -> str:
    if colour is None or colour.is_default:
        return "default"
    if system is ColorSystem.EIGHT_BIT and colour.triplet:
        colour = nearest_256(colour)
    red, green, blue = colour.get_truecolor()
    return f"{red:02x}{green:02x}{blue:02x}"


def main(target: str) -> None:
    """Play until F2."""
    player = ScriptedPlayer(20.0)
    over = threading.Event()

    def play() -> None:
        while not over.wait(1 / FRAMES_PER_S):
            player.advance(1 / FRAMES_PER_S)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        view = Mirrored(player, lambda: player.ended)
        view.target = Path(target)
        view.run()
    finally:
        over.set()
        thread.join()
        player.close()


if __name__ == "__main__":
    main(sys.argv[1])
