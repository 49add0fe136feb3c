"""The keys: what each does, in one table that the line of keys, the help and the view itself read."""

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
    """One entry of the line of keys: a click does what its key does."""

    keys: str
    what: str
    action: str = ""  # of the view


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
"""Keys that begin an action of the view."""

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
"""What keys do to a played file; each returns a line for the user, "" for none."""


def press_file_key(player: Player, key: str) -> str:
    """Do what a key of `FILE_KEYS` does; return a line for the user, "" for none."""
    try:
        return FILE_KEYS[key](player)
    except RtsepError as error:
        return str(error)


HELP: tuple[tuple[str, str], ...] = (
    ("up, down, Tab", "choose a control"),
    ("left, right, -, +", "turn it; with Shift and an arrow, finely"),
    ("0 to 9", "tenths of its way; Home and End, all of it"),
    ("Backspace", "its default"),
    ("Space, Enter", "turn a switch on or off"),
    ("v V, i I", "mute, solo: vocals, instrumental"),
    ("b, k", "bypass; masks soft or binary"),
    (", .", "balance towards the music, towards the voice"),
    ("mouse", "drag a bar, click a switch, turn the wheel"),
    ("t, < >, a", f"played file: pause; {STEP_S:g} s back, on; loop from, to, off"),
    ("[ ], ( )", f"played file: slower, faster by {100 * STEP_SPEED:g} %; key down, up by a semitone"),
    ("r", "record, and stop"),
    ("p, s", "recall a preset; save one"),
    ("m, d", "another model; another input or output"),
    ("l, c", "all lines that were said; forget the clip marks"),
    ("q, Ctrl-C", "end"),
)


FIGURES: tuple[tuple[str, str], ...] = (
    ("peak, rms", "loudest sample and loudness, dB under full scale; CLIP: it was reached"),
    ("picture", "bright is loud; amber goes to the vocals, blue stays; grey: not separated (bypass)"),
    ("hop", "time that a piece of sound took to make, of the last 10 s: half of them (p50), 99 of 100 (p99), "
     "all (max), and the time there is for it (the red line)"),
    ("late", "masks that were not ready in time: the last one served again, nothing is lost"),
    ("xruns", "times the sound system lost audio; larger blocks help"),
    ("underruns", "times the device was given silence because we were late"),
    ("overruns", "times that input was lost because we were late"),
    ("limiter", "by how much the output is made softer, so that nothing goes beyond full scale: turn a gain "
     "down"),
    ("feedback", "by how much the output is dimmed, as the microphone captures it: turn a gain down, or use "
     "headphones"),
    ("latency", "from input to output: model + engine + device"),
    ("drift", "how much faster the input's clock is than the output's, in millionths (ppm); -: one clock"),
    ("model", "'down: dry' while its process is started again: the input is heard as it is; 'asleep': the "
     "input has been silent for 10 s; restarts so far"),
    ("real-time", "the sound goes before all else on this machine; 'no real-time': it may have to wait"),
)  # fmt: skip


class KeyLine(Canvas):
    """The line of keys, always there."""

    def __init__(self, ink: Ink, *, id: str | None = None) -> None:
        super().__init__(ink, id=id)
        self._places: list[tuple[int, int, str]] = []  # first and behind-last cell, and what a click does

    def resized(self, size: Size) -> None:
        """Lay the hints out, quitting first; what has no room is in the help."""
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
        """Do what the hint says."""
        for start, end, action in self._places:
            if start <= event.x < end and action:
                await self.app.run_action(action, self.app)


def _cells(hint: Hint) -> int:
    return cell_len(hint.keys) + cell_len(hint.what) + 2


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def help_lines() -> list[tuple[str, str]]:
    """Return keys and what they do, then controls and figures and what they mean."""
    controls = [
        (
            control.name.replace("_", " "),
            f"{control.meaning} ({control.accepted}). {_sentence(control.effect)}",
        )
        for control in TABLE
    ]
    return [*HELP, ("", ""), *controls, ("", ""), *FIGURES]
