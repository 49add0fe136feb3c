"""All controls of the table: name, bar, value, and the source of the last change."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.geometry import Size

from rtsep.controls import TABLE, Control, Controls, Travel
from rtsep.errors import RtsepError
from rtsep.surfaces.view.bars import fill
from rtsep.surfaces.view.canvas import Canvas, Part
from rtsep.surfaces.view.palette import (
    BACKGROUND,
    BAD,
    BYPASSED,
    CHOSEN_TRACK,
    DIM,
    MOVED,
    NEUTRAL,
    PANEL,
    REST,
    TEXT,
    TRACK,
    VOICE,
    WARN,
    Ink,
)
from rtsep.surfaces.view.turning import LETTERS, at_tenth, is_switch, nearest, shown, stepped, toggled

ONE_COLUMN_ROWS = len(TABLE)
_VALUE, _MOVER, _GAP = 8, 7, 1
_LONG_NAMES_FROM = 56
"""Column width from which the table's full names fit."""

_SHORT = {"command line": "command"}
_KEYS = {name: letter for letter, name in LETTERS.items()}


class Faders(Canvas):
    """One line for each control, in one column or two."""

    can_focus = False

    def __init__(self, ink: Ink, controls: Controls, *, id: str | None = None) -> None:
        super().__init__(ink, id=id)
        self.controls = controls
        self.chosen = 0
        self._held: int | None = None  # control whose bar the mouse drags
        self._seen: object = None

    @property
    def control(self) -> Control:
        """Return the control that keys change."""
        return TABLE[self.chosen]

    # --- turning ----------------------------------------------------------------------------------

    def choose(self, index: int) -> None:
        """Select control `index` for the keys."""
        self.chosen = index % len(TABLE)
        self.follow()

    def turn(self, steps: int, fine: bool = False, by: str = "key") -> None:
        """Change the selected control by `steps`."""
        self.set(self.control, stepped(self.control, self._value(self.control), steps, fine), by)

    def tenth(self, digit: int) -> None:
        """Set the selected control to `digit` tenths of its travel."""
        self.set(self.control, at_tenth(self.control, digit))

    def toggle(self, name: str | None = None) -> None:
        """Switch to the next value of a switch or choice; of the selected control if none is named."""
        control = self.control if name is None else next(c for c in TABLE if c.name == name)
        self.set(control, toggled(control, self._value(control)))

    def set(self, control: Control, value: float, by: str = "key") -> None:
        """Set a control; limit the value to its range."""
        try:
            self.controls.set(control.name, min(max(value, control.minimum), control.maximum), by)
        except RtsepError as error:
            self.app.call_later(self.app.log_line, str(error))  # type: ignore[attr-defined]
        self.follow()

    def _value(self, control: Control) -> float:
        return float(getattr(self.controls, control.name))

    # --- the mouse --------------------------------------------------------------------------------

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Select a control; on its bar, start to drag it."""
        place = self._place(event.x, event.y)
        if place is None:
            return
        index, cell = place
        self.choose(index)
        control = TABLE[index]
        if cell < 0:
            return
        if is_switch(control):
            self.set(control, toggled(control, self._value(control)), "mouse")
            return
        self._held = index
        self.capture_mouse()
        self._drag(cell)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag the held bar."""
        if self._held is not None:
            self._drag(event.x - self._column_x(self._held) - self._name_width)

    def on_mouse_up(self, _: events.MouseUp) -> None:
        """End the drag."""
        self._held = None
        self.release_mouse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Increase the control under the mouse."""
        self._wheel(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Decrease the control under the mouse."""
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, steps: int) -> None:
        place = self._place(event.x, event.y)
        if place is not None:
            self.choose(place[0])
            self.turn(steps, fine=event.shift, by="mouse")

    def _drag(self, cell: int) -> None:
        control = TABLE[self.chosen if self._held is None else self._held]
        position = cell / max(1, self._bar_width - 1)
        self.set(control, nearest(control, Travel.whole(control).value(position)), "mouse")

    def _place(self, x: int, y: int) -> tuple[int, int] | None:
        """Return the control at a point, and the cell of its bar (-1: beside the bar)."""
        for index in range(len(TABLE)):
            left = self._column_x(index)
            if y == self._row(index) and left <= x < left + self._column_width:
                cell = x - left - self._name_width
                return index, cell if 0 <= cell < self._bar_width else -1
        return None

    # --- drawing ----------------------------------------------------------------------------------

    def follow(self) -> None:
        """Show the current controls, whatever changed them."""
        seen = (self.chosen, self.size, self.controls.control_block.tobytes(), dict(self.controls.movers))
        if seen == self._seen:
            return
        self._seen = seen
        rows: dict[int, list[int]] = {}
        for index in range(len(TABLE)):
            rows.setdefault(self._row(index), []).append(index)
        for y, indices in rows.items():
            what = [
                (index == self.chosen, self._value(TABLE[index]), self.controls.moved_by(TABLE[index].name))
                for index in indices
            ]
            if not 0 <= y < len(self._drawn) or self._drawn[y] == what:
                continue
            parts: list[Part] = []
            for index, (chosen, value, mover) in zip(indices, what, strict=True):
                parts += [(" " * (_GAP if parts else 0), self.ink.base)]
                parts += self._parts(TABLE[index], chosen, value, mover)
            self.put_new(y, what, parts)

    def resized(self, size: Size) -> None:
        """Draw again."""
        self._seen = None
        self.follow()

    @property
    def columns(self) -> int:
        """Return one column if all controls fit, else two."""
        return 1 if self.size.height >= ONE_COLUMN_ROWS else 2

    @property
    def _column_width(self) -> int:
        return (self.size.width - _GAP * (self.columns - 1)) // self.columns

    @property
    def _long_names(self) -> bool:
        return self._column_width >= _LONG_NAMES_FROM

    @property
    def _name_width(self) -> int:
        return 2 + max(cell_len(self._label(control)) for control in TABLE)

    @property
    def _bar_width(self) -> int:
        return max(4, self._column_width - self._name_width - 1 - _VALUE - 1 - _MOVER)

    def _row(self, index: int) -> int:
        return index % -(-len(TABLE) // self.columns)

    def _column_x(self, index: int) -> int:
        return index // -(-len(TABLE) // self.columns) * (self._column_width + _GAP)

    def _label(self, control: Control) -> str:
        name = control.name.replace("_", " ")
        return name if self._long_names else name.replace("instrumental", "instr")

    def _parts(self, control: Control, chosen: bool, value: float, mover: str) -> list[Part]:
        ink = self.ink
        on = PANEL if chosen else BACKGROUND
        name = ink(TEXT, on, bold=chosen, reverse=chosen and ink.plain)
        mark = "▸" if chosen else " "
        short = _SHORT.get(mover, mover)[:_MOVER]
        return [
            (f"{mark}{self._label(control):<{self._name_width - 1}}", name),
            *self._bar(control, value, chosen),
            (
                f" {shown(control, value):>{_VALUE}}",
                ink(self._value_colour(control, value), on, bold=chosen),
            ),
            (f" {short:<{_MOVER}}", ink(MOVED.get(mover, DIM), on, dim=ink.plain)),
        ]

    def _bar(self, control: Control, value: float, chosen: bool) -> list[Part]:
        ink, width = self.ink, self._bar_width
        colour = _colour(control)
        track = CHOSEN_TRACK if chosen else TRACK
        if not is_switch(control):
            return fill(ink, width, Travel.whole(control).position(value), colour, track)
        letter = _KEYS.get(control.name, "")
        if value:
            return [(f" {letter:<{width - 1}}", ink(BACKGROUND, colour, bold=True, reverse=ink.plain))]
        if ink.plain:
            return [(f" {letter} ".ljust(width, "·"), ink(dim=True))]
        return [(f" {letter:<{width - 1}}", ink(DIM, track))]

    def _value_colour(self, control: Control, value: float) -> str:
        return _colour(control) if is_switch(control) and value else TEXT if value != control.default else DIM


def _colour(control: Control) -> str:
    if control.name.endswith("_mute"):
        return BAD
    if control.name.endswith("_solo"):
        return WARN
    if control.name.startswith("vocals"):
        return VOICE
    if control.name.startswith("instrumental"):
        return REST
    return BYPASSED if control.name == "bypass" else NEUTRAL
