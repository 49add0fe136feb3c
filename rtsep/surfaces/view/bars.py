"""Bars made of text: drawn to an eighth of a cell, with or without colours."""

from __future__ import annotations

from rtsep.surfaces.view.canvas import Part
from rtsep.surfaces.view.palette import BACKGROUND, TRACK, Ink

EIGHTHS = " ▏▎▍▌▋▊▉█"
RISING = " ▁▂▃▄▅▆▇█"


def fill(ink: Ink, width: int, position: float, colour: str, track: str = TRACK) -> list[Part]:
    """Return a bar of `width` cells, filled up to `position` 0..1."""
    eighths = round(max(0.0, min(1.0, position)) * width * 8)
    whole, part = divmod(eighths, 8)
    rest = width - whole - (1 if part else 0)
    if ink.plain:
        return [("█" * whole, ink()), (EIGHTHS[part] if part else "", ink()), ("·" * rest, ink(dim=True))]
    parts = [solid(ink, whole, colour)]
    if part:
        parts.append((EIGHTHS[part], ink(colour, track)))
    parts.append((" " * rest, ink(on=track)))
    return parts


def solid(ink: Ink, cells: int, colour: str) -> Part:
    """Return `cells` in one colour: as background, which has no seams between cells in any font."""
    return ("█" * cells, ink()) if ink.plain else (" " * cells, ink(on=colour))


def dimmed(colour: str, share: float = 0.42) -> str:
    """Return `colour` (as "#rrggbb") mixed with the background."""
    mixed = (
        round(int(colour[i : i + 2], 16) * share + int(BACKGROUND[i : i + 2], 16) * (1 - share))
        for i in (1, 3, 5)
    )
    return "#" + "".join(f"{value:02x}" for value in mixed)
