"""The colours of the view, and their replacements on terminals with few or none.

Amber is the voice and blue is the rest, everywhere: in the meters' names, in the spectrogram, on the faders.
Colour-blind people can distinguish this pair.
"""

from __future__ import annotations

from enum import Enum
from functools import cache

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from textual.color import Color as TextualColor
from textual.color import rgb_to_lab

BACKGROUND = "#0b0e13"
TEXT, DIM, PANEL = "#d7dce3", "#77808c", "#151a21"
TRACK, CHOSEN_TRACK = "#2a313b", "#39424e"
VOICE, REST, INPUT = "#ffb13b", "#3fa0ff", "#b9c3cf"
NEUTRAL, BYPASSED = "#8fa3b8", "#d78cff"
GOOD, WARN, BAD = "#54c98b", "#ffd75f", "#ff5f5f"
MOVED = {"MIDI": "#d78cff", "key": "#7fd7a8", "mouse": "#7fd7a8", "preset": "#ffb13b", "API": "#5fd7ff"}

_VOICE_RGB, _BETWEEN_RGB, _REST_RGB = (255, 177, 59), (214, 84, 178), (48, 140, 255)
_BACKGROUND_RGB = (11, 14, 19)
_DRY_RGB = (178, 186, 196)

SHARES = 9
"""Steps between the rest (0) and the voice (SHARES - 1); one more step is the unseparated signal."""

DRY = SHARES
LEVELS = 14
"""Steps of brightness; 0 is silence."""


class Depth(Enum):
    """Colour support of a terminal."""

    BLOCKS = "256 colours or more: two dots in a cell"
    GLYPHS = "16 colours: the level by the glyph"
    PLAIN = "none: voice and rest by the glyph as well"

    @classmethod
    def of(cls, color_system: str | None, no_color: bool) -> Depth:
        """Return the depth for a terminal with the `color_system` found by rich."""
        if no_color or color_system is None:
            return cls.PLAIN
        return cls.BLOCKS if color_system in ("256", "truecolor") else cls.GLYPHS


class Ink:
    """Creates styles within the terminal's colour support; bold, dim and reverse work without colours."""

    def __init__(self, depth: Depth) -> None:
        self.depth = depth
        self.plain = depth is Depth.PLAIN
        self.base = self(TEXT)
        self.dim = self(DIM, dim=self.plain)
        self.bold = self(TEXT, bold=True)

    def __call__(
        self,
        colour: str | None = None,
        on: str | None = BACKGROUND,
        bold: bool = False,
        dim: bool = False,
        reverse: bool = False,
    ) -> Style:
        """Return a style; without colour support `colour` and `on` are ignored."""
        return _style(None if self.plain else colour, None if self.plain else on, bold, dim, reverse)


@cache
def _style(colour: str | None, on: str | None, bold: bool, dim: bool, reverse: bool) -> Style:
    return Style(color=colour, bgcolor=on, bold=bold or None, dim=dim or None, reverse=reverse or None)


_STEPS = (0, 95, 135, 175, 215, 255)
_AGREED = [(r, g, b) for r in _STEPS for g in _STEPS for b in _STEPS] + [(8 + 10 * n,) * 3 for n in range(24)]
"""The 240 colours that all 256-colour terminals share: a cube, and greys. They start at number 16."""


def _lab(red: int, green: int, blue: int) -> tuple[float, float, float]:
    """Return the CIELAB values of a colour."""
    found = rgb_to_lab(TextualColor(red, green, blue))
    return found.L, found.a, found.b


_AGREED_LAB = np.array([_lab(*rgb) for rgb in _AGREED])


@cache
def nearest_256(colour: Color) -> Color:
    """Return the colour of a 256-colour terminal that is visually nearest to `colour`.

    rich, which Textual uses, maps a dark bluish grey to teal.
    """
    off = _AGREED_LAB - _lab(*colour.get_truecolor())
    return Color.from_ansi(16 + int(np.argmin((off**2).sum(axis=1))))


_RAMP_REST = " .:-=+"
_RAMP_VOICE = " ░░▒▓█"


@cache
def shade(level: int, share: int) -> Color:
    """Return the colour of one dot of the spectrogram."""
    if share == DRY:
        hue = np.array(_DRY_RGB, float)
    else:
        x = share / (SHARES - 1) * 2
        low, high = (_REST_RGB, _BETWEEN_RGB) if x <= 1 else (_BETWEEN_RGB, _VOICE_RGB)
        hue = np.array(low, float) + (np.array(high, float) - low) * (x if x <= 1 else x - 1)
    bright = level / (LEVELS - 1)
    ground = np.array(_BACKGROUND_RGB, float)
    colour = ground + (hue - ground) * min(1.0, bright * 1.15) ** 1.2
    colour += (255 - colour) * max(0.0, bright - 0.87) * 1.5  # the loudest dots glow
    red, green, blue = (int(v) for v in np.clip(np.round(colour), 0, 255))
    return Color.from_rgb(red, green, blue)


def dots(level: NDArray[np.float32], share: NDArray[np.float32] | None) -> NDArray[np.int64]:
    """Return the dots, level * (SHARES + 1) + share, for levels 0..1 and shares 0..1 (None: dry)."""
    steps = np.clip(np.ceil(level * (LEVELS - 1)), 0, LEVELS - 1).astype(np.int64)
    if share is None:
        return steps * (SHARES + 1) + DRY
    return steps * (SHARES + 1) + np.clip(np.round(share * (SHARES - 1)), 0, SHARES - 1).astype(np.int64)


def cell(ink: Ink, top: int, bottom: int) -> tuple[str, Style]:
    """Return glyph and style of a cell with two dots, one above the other."""
    (top_level, top_share), (low_level, low_share) = divmod(top, SHARES + 1), divmod(bottom, SHARES + 1)
    if ink.depth is Depth.BLOCKS:
        colour = shade(top_level, top_share)
        if top_level == low_level and (top_share == low_share or top_level == 0):
            return " ", Style(bgcolor=colour)
        return "▀", Style(color=colour, bgcolor=shade(low_level, low_share))
    level, share = max((top_level, top_share), (low_level, low_share))
    voiced = share != DRY and share * 2 >= SHARES
    ramp = _RAMP_VOICE if voiced else _RAMP_REST
    glyph = ramp[round(level / (LEVELS - 1) * (len(ramp) - 1))]
    return glyph, ink(TEXT if share == DRY else VOICE if voiced else REST)
