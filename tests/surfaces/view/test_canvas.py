"""A line gives the same screen as that of Textual, in fewer bytes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from rtsep.surfaces.view import palette
from rtsep.surfaces.view.canvas import Inked, inked
from rtsep.surfaces.view.palette import nearest_256

COLOURS = st.sampled_from([None, "#102030", "#ffb13b", "#3fa0ff", "#0b0e13"])


def shown(sent: str) -> list[tuple]:
    """Return what a terminal shows: the two halves of every cell, or its glyph, colours and attributes."""
    attributes: set[str] = set()
    front = back = "default"
    cells: list[tuple] = []
    for codes, text in re.findall(r"\x1b\[([\d;]*)m|([^\x1b])", sent):
        if text:
            halves = {" ": (back, back), "▀": (front, back), "▄": (back, front)}.get(text)
            look = frozenset(attributes)
            cells.append((halves, look) if halves and not look else (text, front, back, look))
            continue
        words = codes.split(";")
        while words:
            word = words.pop(0)
            if word == "0":
                attributes, front, back = set(), "default", "default"
            elif word in ("38", "48"):
                count = 3 if words[0] == "2" else 1
                colour, words = ";".join(words[: count + 1]), words[count + 1 :]
                front, back = (colour, back) if word == "38" else (front, colour)
            elif word in ("1", "2", "7"):
                attributes.add(word)
            elif int(word) in (*range(30, 38), *range(90, 98)):
                front = str(int(word) - 30)
            else:
                back = str(int(word) - 40)
    return cells


def on_terminal(segments: list[Segment], system: str) -> list[Segment]:
    """Return segments in our choice of 256 colours; rich's own is for the other systems."""
    if system != "256":
        return segments
    found = []
    for text, wanted, _ in segments:
        style = wanted or Style()
        front, back = (colour and nearest_256(colour) for colour in (style.color, style.bgcolor))
        found.append(Segment(text, Style(color=front, bgcolor=back, bold=style.bold)))
    return found


@pytest.mark.parametrize("system", ["standard", "256", "truecolor"])
@given(
    st.lists(st.tuples(st.sampled_from([" ", "▀", "a", "xy"]), COLOURS, COLOURS, st.booleans()), max_size=20)
)
def test_a_line_shows_what_textual_would_show(system, cells):
    console = Console(color_system=system, force_terminal=True)
    segments = [Segment(text, Style(color=c, bgcolor=b, bold=bold or None)) for text, c, b, bold in cells]
    ours, theirs = Inked(segments).render(console), Strip(on_terminal(segments, system)).render(console)
    assert shown(ours) == shown(theirs)
    assert len(ours) <= len(theirs) + len("\x1b[0m") + len("0;")


def test_lines_have_the_width_they_are_to_have():
    style = Style()
    for text in ("", "short", "much too long for this", "日本語 wide"):
        line = inked([(text, style), ("tail", style)], 10, style)
        assert line.cell_length == 10 == Strip(list(line)).cell_length


def test_256_colours_that_are_there_are_taken_as_they_are():
    for number in range(16, 256):
        red, green, blue = Color.from_ansi(number).get_truecolor()
        found = nearest_256(Color.from_rgb(red, green, blue)).get_truecolor()
        assert tuple(found) == (red, green, blue)


def test_of_256_colours_voice_and_rest_take_warm_and_cold_ones():
    for level in range(5, palette.LEVELS):  # what is darker has greys only
        for share, warm in ((palette.SHARES - 1, True), (0, False)):
            red, _, blue = nearest_256(palette.shade(level, share)).get_truecolor()
            assert (red > blue) if warm else (blue > red), (level, share)


def test_dark_greys_stay_grey():
    for name in (palette.TRACK, palette.CHOSEN_TRACK, palette.PANEL, palette.BACKGROUND):
        red, green, blue = nearest_256(Color.parse(name)).get_truecolor()
        assert red == green == blue
    assert (
        len({nearest_256(Color.parse(n)).number for n in (palette.TRACK, palette.PANEL, palette.TEXT)}) == 3
    )
