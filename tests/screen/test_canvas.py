"""What a line sends shows the same as what Textual would send, in fewer bytes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from rtsep.screen.canvas import Inked, inked

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


@pytest.mark.parametrize("system", ["standard", "256", "truecolor"])
@given(
    st.lists(st.tuples(st.sampled_from([" ", "▀", "a", "xy"]), COLOURS, COLOURS, st.booleans()), max_size=20)
)
def test_a_line_shows_what_textual_would_show(system, cells):
    console = Console(color_system=system, force_terminal=True)
    segments = [Segment(text, Style(color=c, bgcolor=b, bold=bold or None)) for text, c, b, bold in cells]
    ours, theirs = Inked(segments).render(console), Strip(segments).render(console)
    assert shown(ours) == shown(theirs)
    assert len(ours) <= len(theirs) + len("\x1b[0m") + len("0;")


def test_lines_have_the_width_they_are_to_have():
    style = Style()
    for text in ("", "short", "much too long for this", "日本語 wide"):
        line = inked([(text, style), ("tail", style)], 10, style)
        assert line.cell_length == 10 == Strip(list(line)).cell_length
