"""Widgets that draw their own lines, and send only changes.

Textual's own path from a widget to the terminal goes through its style sheets and its compositor; at 30
frames per second this is the main cost of a view. A canvas passes finished lines, and a line writes a colour
only where it changes. Within a frame, if no list covers the picture, a `Pen` sends a line directly to the
terminal. Textual paints the same lines for its own reasons: after a resize, under a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.errors import NoWidget
from textual.geometry import Region, Size
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from rtsep.surfaces.view.palette import Ink, nearest_256

if TYPE_CHECKING:
    from textual.app import RenderResult

Part = tuple[str, Style]

_ATTRIBUTES = (("bold", "1"), ("dim", "2"), ("reverse", "7"))
_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}


class Inked(Strip):
    """Line that sends a colour to the terminal only where it changes."""

    __slots__ = ()

    def crop(self, start: int, end: int | None = None) -> Strip:
        """Return the cells from `start` to `end` as the same kind of line."""
        return _inked(super().crop(start, end))

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        """Return the line cut into pieces of the same kind."""
        return [_inked(piece) for piece in super().divide(cuts)]

    def render(self, console: Console) -> str:
        """Return the line as terminal codes."""
        system = _SYSTEMS.get(console.color_system or "", ColorSystem.TRUECOLOR)
        out: list[str] = []
        last = front = back = ""
        for text, style, _ in self:
            attributes, new_front, new_back = _codes(style, system) if style else ("", "", "")
            if text == " " and new_back and not attributes:
                new_front = front  # invisible
            elif text == "▀" and new_front == back and new_back == front and not attributes:
                text, new_front, new_back = "▄", front, back
            changed = []
            if attributes != last or (front and not new_front) or (back and not new_back):
                changed = ["0"] if last or front or back else []
                changed += [attributes] if attributes else []
                front = back = ""
            if new_front != front:
                changed.append(f"38;{new_front}" if ";" in new_front else new_front)
            if new_back != back:
                changed.append(f"48;{new_back}" if ";" in new_back else new_back)
            if changed:
                out.append(f"\x1b[{';'.join(changed)}m")
            last, front, back = attributes, new_front, new_back
            out.append(text)
        out.append(RESET)
        return "".join(out)


def _inked(strip: Strip) -> Inked:
    return strip if isinstance(strip, Inked) else Inked(strip, strip.cell_length)


@lru_cache(maxsize=1 << 15)
def _codes(style: Style, system: ColorSystem) -> tuple[str, str, str]:
    """Return the terminal's codes for attributes, foreground, background; the latter without 38 and 48."""
    attributes = ";".join(code for name, code in _ATTRIBUTES if getattr(style, name))
    return attributes, _colour_of(style.color, system, True), _colour_of(style.bgcolor, system, False)


def _colour_of(colour: Color | None, system: ColorSystem, front: bool) -> str:
    if colour is None:
        return ""
    shown = nearest_256(colour) if system is ColorSystem.EIGHT_BIT else colour.downgrade(system)
    codes = shown.get_ansi_codes(front)
    return ";".join(codes[1:] if len(codes) > 1 else codes)


def inked(parts: Iterable[Part], width: int, base: Style) -> Inked:
    """Return a line of `parts`, cut or padded to `width` cells."""
    segments, left = [], width
    for text, style in parts:
        cells = cell_len(text)
        if cells > left:
            text, cells = set_cell_size(text, left), left
        if text:
            segments.append(Segment(text, style))
        left -= cells
        if left <= 0:
            break
    if left > 0:
        segments.append(Segment(" " * left, base))
    return Inked(segments, width)


class Pen:
    """Collects one frame's output to the terminal, without Textual's compositor.

    The view has a pen only while it draws a frame and nothing covers the picture; at the end of the frame,
    the terminal shows everything drawn by a canvas. At other times, lines go through Textual.
    """

    def __init__(self, screen: Screen[object], console: Console) -> None:
        self._screen, self._console = screen, console
        self._taken: list[str] = []

    @property
    def taken(self) -> str:
        """Return the collected output."""
        return "".join(self._taken)

    def place_of(self, widget: Widget) -> Region | None:
        """Return the position of `widget` on the terminal; None if it is not completely visible."""
        try:
            place = self._screen.find_widget(widget)
        except NoWidget:
            return None
        whole = place.visible_region == place.region and place.region.size == widget.size
        return place.region if whole else None

    def draw(self, x: int, y: int, strip: Strip) -> None:
        """Draw a line from column `x` of line `y`."""
        self._taken.append(at(x, y) + strip.render(self._console))

    def write(self, codes: str) -> None:
        """Write terminal codes unchanged."""
        self._taken.append(codes)

    def code_of(self, segment: Segment) -> str:
        """Return the codes that draw a segment after any other colours; the segment's colours stay active."""
        return Inked([segment]).render(self._console).removesuffix(RESET)


RESET = "\x1b[0m"


def at(x: int, y: int) -> str:
    """Return the code that moves the cursor to column `x` of line `y`, counted from 0."""
    return f"\x1b[{y + 1};{x + 1}H"


class Canvas(Widget):
    """Widget of lines that are set one by one; an unchanged line costs nothing."""

    def __init__(self, ink: Ink, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.ink = ink
        self._lines: list[Strip] = []
        self._drawn: list[object] = []

    def put(self, y: int, parts: Iterable[Part]) -> None:
        """Set line `y` to `parts`."""
        self.put_strip(y, inked(parts, self.size.width, self.ink.base))

    def put_new(self, y: int, what: object, parts: Iterable[Part]) -> None:
        """Set line `y` to `parts` (created lazily) if their source `what` has changed."""
        if 0 <= y < len(self._drawn) and self._drawn[y] != what:
            self.put(y, parts)
            self._drawn[y] = what

    def put_strip(self, y: int, strip: Strip) -> None:
        """Set line `y`; lines outside the widget are ignored."""
        if not 0 <= y < len(self._lines) or self._lines[y] == strip:
            return
        self._lines[y] = strip
        pen = self.pen
        place = pen.place_of(self) if pen else None
        if pen and place and strip.cell_length == place.width:
            pen.draw(place.x, place.y + y, strip)
        else:
            self.refresh(Region(0, y, self.size.width, 1))

    @property
    def pen(self) -> Pen | None:
        """Return the pen while a frame may be written directly, else None."""
        return getattr(self.app, "pen", None)

    def on_resize(self) -> None:
        """Start again at the new size."""
        width, height = self.size
        blank = inked((), width, self.ink.base)
        self._lines = [blank] * height
        self._drawn = [None] * height
        self.resized(self.size)
        self.refresh()

    def resized(self, size: Size) -> None:
        """Draw again; called at every new size."""

    def render(self) -> RenderResult:
        """Return an empty renderable for Textual; lines come from `render_lines`."""
        return ""

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of `crop`."""
        width = self.size.width
        lines = self._lines[crop.y : crop.bottom]
        if len(lines) < crop.height or any(line.cell_length != width for line in lines):
            lines = [inked((), width, self.ink.base)] * crop.height  # a new size is coming
        if crop.x == 0 and crop.width == width:
            return lines
        return [line.crop(crop.x, crop.right) for line in lines]
