"""The keys with their effects, in one table for the line of keys, the help and the view."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rich.cells import cell_len
from textual import events
from textual.geometry import Size

from rtsep.controls import TABLE
from rtsep.errors import RtsepError
from rtsep.surfaces.players.player import Player
from rtsep.surfaces.view.canvas import Canvas, Part
from rtsep.surfaces.view.palette import DIM, PANEL, TEXT, Ink


class Hint(NamedTuple):
    """Entry of the line of keys: a click has the same effect as its key."""

    keys: str
    what: str
    action: str = ""  # action of the view


HINTS = (
    Hint("?", "help", "help"),
    Hint("↑↓←→", "turn"),
    Hint("vViI", "mute/solo"),
    Hint("b", "bypass"),
    Hint("r", "rec", "record"),
    Hint("p", "preset", "presets"),
    Hint("m", "model", "models"),
    Hint("d", "device", "devices"),
    Hint("q", "quit", "quit"),
)

ACTIONS = {
    "q": "quit",
    "?": "help",
    "h": "help",
    "f1": "help",
    "l": "lines",
    "r": "record",
    "p": "presets",
    "s": "save",
    "m": "models",
    "d": "devices",
    "c": "clips",
    "t": "file('t')",
    "a": "file('a')",
    "(": "file('(')",
    ")": "file(')')",
    "[": "file('[')",
    "]": "file(']')",
    "<": "file('<')",
    ">": "file('>')",
}
"""Keys with an action of the view."""

STEP_S = 5.0
STEP_SPEED = 0.05
STEP_KEY = 1.0

FILE_KEYS: dict[str, Callable[[Player], str]] = {
    "t": lambda player: player.pause(),
    "a": lambda player: player.loop_here(),
    "[": lambda player: player.change_speed(-STEP_SPEED),
    "]": lambda player: player.change_speed(STEP_SPEED),
    "(": lambda player: player.change_key(-STEP_KEY),
    ")": lambda player: player.change_key(STEP_KEY),
    "<": lambda player: player.skip(-STEP_S),
    ">": lambda player: player.skip(STEP_S),
}
"""Keys for a played file; each returns a line for the user, "" for none."""


def press_file_key(player: Player, key: str) -> str:
    """Run the action of a key of `FILE_KEYS`; return a line for the user, "" for none."""
    try:
        return FILE_KEYS[key](player)
    except RtsepError as error:
        return str(error)


HELP: tuple[tuple[str, str], ...] = (
    ("up, down, Tab", "select a control"),
    ("left, right, -, +", "change it; with Shift and an arrow, finely"),
    ("0 to 9", "tenths of its range; Home and End, its ends"),
    ("Backspace", "its default"),
    ("Space, Enter", "turn a switch on or off"),
    ("v V, i I", "mute, solo: vocals, instrumental"),
    ("b, k", "bypass; masks soft or binary"),
    (", .", "balance towards the music, towards the voice"),
    ("mouse", "drag a bar, click a switch, use the wheel"),
    ("t, < >, a", f"played file: pause; {STEP_S:g} s back, on; loop from, to, off"),
    ("[ ], ( )", f"played file: slower, faster by {100 * STEP_SPEED:g} %; key down, up by a semitone"),
    ("r", "start or stop a recording"),
    ("p, s", "recall a preset; save one"),
    ("m, d", "another model; another input or output"),
    ("l, c", "all messages; reset the clip marks"),
    ("q, Ctrl-C", "end"),
)


FIGURES: tuple[tuple[str, str], ...] = (
    ("peak, rms", "peak and RMS level, dB full scale; CLIP: full scale was reached"),
    ("picture", "bright is loud; amber is the vocals, blue the rest; grey: not separated (bypass)"),
    ("hop", "computing time of a hop over the last 10 s: median (p50), 99 of 100 (p99), maximum (max), and "
     "the available time (red line)"),
    ("late", "late masks: the previous mask was used instead, no audio is lost"),
    ("xruns", "times the sound system lost audio; larger blocks help"),
    ("underruns", "times the device got silence because rtsep was late"),
    ("overruns", "times that input was lost because rtsep was late"),
    ("limiter", "gain reduction by the limiter, so that the output stays within full scale: turn a gain "
     "down"),
    ("feedback", "gain reduction because of acoustic feedback: turn a gain down, or use "
     "headphones"),
    ("latency", "from input to output: model + engine + device"),
    ("drift", "excess of the input's clock over the output's, in millionths (ppm); -: one clock"),
    ("model", "'down: dry' while its process restarts: the input plays unchanged; 'asleep': the "
     "input has been silent for 10 s; restarts so far"),
    ("real-time", "audio has priority over other programs; 'no real-time': it may have to wait"),
)  # fmt: skip


class KeyLine(Canvas):
    """Line of keys, always visible."""

    def __init__(self, ink: Ink, *, id: str | None = None) -> None:
        super().__init__(ink, id=id)
        self._places: list[tuple[int, int, str]] = []  # first cell, end, and action of a click

    def resized(self, size: Size) -> None:
        """Arrange the hints, quit first; those that do not fit are in the help."""
        ink = self.ink
        hints = list(HINTS)
        while len(hints) > 1 and sum(_cells(hint) for hint in hints) > size.width:
            hints.pop(-2)
        gap = " " if sum(_cells(hint) + 1 for hint in hints) <= size.width else ""
        parts: list[Part] = []
        self._places = []
        x = 0
        for hint in hints:
            parts += [(f"{gap}{hint.keys}", ink(TEXT, PANEL, bold=True)), (f" {hint.what} ", ink(DIM, PANEL))]
            self._places.append((x, x + _cells(hint) + len(gap), hint.action))
            x += _cells(hint) + len(gap)
        parts.append((" " * max(0, size.width - x), ink(DIM, PANEL)))
        self.put(0, parts)

    async def on_click(self, event: events.Click) -> None:
        """Run the action of the hint."""
        for start, end, action in self._places:
            if start <= event.x < end and action:
                await self.app.run_action(action, self.app)


def _cells(hint: Hint) -> int:
    return cell_len(hint.keys) + cell_len(hint.what) + 2


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def help_lines() -> list[tuple[str, str]]:
    """Return keys with their effects, then controls and figures with their meanings."""
    controls = [
        (
            control.name.replace("_", " "),
            f"{control.meaning} ({control.accepted}). {_sentence(control.effect)}",
        )
        for control in TABLE
    ]
    return [*HELP, ("", ""), *controls, ("", ""), *FIGURES]
