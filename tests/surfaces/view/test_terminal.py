"""A terminal shows the content of the view, cell by cell, after any history."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("pty", reason="a terminal of POSIX")

from rtsep.surfaces.view.canvas import Pen
from rtsep.surfaces.view.spectrogram import COLUMNS_PER_S, REPAINT_S
from tests.surfaces.view.harness import with_view
from tests.surfaces.view.mirrored import look
from tests.surfaces.view.terminal import WHERE, Terminal

SCROLLS = "\x1b[1P"


@pytest.fixture
def play(tmp_path):
    made = []

    def start(columns: int, rows: int, **variables: str) -> Terminal:
        terminal = Terminal(
            "-m",
            "tests.surfaces.view.mirrored",
            tmp_path / "screen.json",
            columns=columns,
            rows=rows,
            **variables,
        )
        made.append(terminal)
        return terminal

    yield start
    for terminal in made:
        terminal.close()


def assert_shows_what_is_meant(terminal: Terminal, tmp_path) -> None:
    terminal.type("\x1bOQ")  # F2
    terminal.end()
    meant = json.loads((tmp_path / "screen.json").read_text())
    columns, rows = terminal.screen.columns, terminal.screen.lines
    assert (len(meant[0]), len(meant)) == (columns, rows)
    for y in range(rows):
        shown = []
        for x in range(columns):
            cell = terminal.cell(x, y)
            front, back = (cell.bg, cell.fg) if cell.reverse else (cell.fg, cell.bg)
            shown.append(look(cell.data, front, back))
        wrong = [x for x in range(columns) if shown[x] != meant[y][x]]
        assert not wrong, f"line {y}, column {wrong[0]}: {shown[wrong[0]]}, meant {meant[y][wrong[0]]}"


@pytest.mark.parametrize(
    ("size", "colours"),
    [
        ((80, 24), "truecolor"),
        ((120, 40), ""),
        *(
            pytest.param(size, colours, marks=pytest.mark.long)
            for size, colours in (
                ((80, 24), ""),
                ((120, 40), "truecolor"),
                ((200, 60), ""),
                ((200, 60), "truecolor"),
            )
        ),
    ],
)
def test_the_picture_scrolls_and_what_stands_beside_it_stays(play, tmp_path, size, colours):
    terminal = play(*size, COLORTERM=colours)
    terminal.until_shown("playing")
    terminal.until_sent(SCROLLS, 400)  # moved by the terminal, not painted again
    assert_shows_what_is_meant(terminal, tmp_path)


@pytest.mark.parametrize("size", [pytest.param((80, 24), marks=pytest.mark.long), (130, 40)])
def test_lists_lie_over_it_and_leave_nothing_behind(play, tmp_path, size):
    terminal = play(*size, COLORTERM="truecolor")
    terminal.until_shown("playing")
    for key, text in (("m", "another model"), ("?", "Backspace"), ("p", "Recall a preset")):
        terminal.type(key)
        terminal.until_shown(text)
        terminal.watch(0.3)
        assert SCROLLS not in terminal.sent[-2000:]  # it would move the list
        terminal.type("\x1b")
        terminal.until_shown(r"(?s)^(?!.*" + text + ")")
        terminal.watch(0.2)
    assert_shows_what_is_meant(terminal, tmp_path)


def test_any_size_after_any_other(play, tmp_path):
    terminal = play(80, 24, COLORTERM="truecolor")
    terminal.until_shown("playing")
    for columns, rows in ((130, 40), (79, 23), (60, 12), (20, 6), (3, 2), (104, 24), (200, 50), (81, 30)):
        terminal.resize(columns, rows)
        terminal.watch(0.5)
    assert_shows_what_is_meant(terminal, tmp_path)


def test_controls_move_under_keys_and_mouse_while_it_scrolls(play, tmp_path):
    terminal = play(130, 40, COLORTERM="truecolor")
    terminal.until_shown("playing")
    terminal.type("\x1b[C\x1b[C")
    terminal.until_shown(r"threshold .* 0\.10 key")
    x, y = terminal.find("gate")
    terminal.mouse(64, x + 3, y)  # the wheel, up
    terminal.until_shown(r"gate .* 0\.05 mouse")
    x, y = terminal.find("blend")
    terminal.mouse(0, x + 14, y)
    terminal.mouse(32, x + 18, y)
    terminal.mouse(0, x + 18, y, up=True)
    terminal.until_shown(r"blend .* 0\.\d\d mouse")
    terminal.click(*terminal.find("r rec"))
    terminal.until_shown("● REC 0:00:00")
    assert_shows_what_is_meant(terminal, tmp_path)


def test_a_picture_over_a_thin_line_is_a_small_fraction_of_painting_it(play):
    """Scrolled: the columns that are new, in colour; all else of a frame is counted as well."""
    terminal = play(200, 60, COLORTERM="truecolor")
    terminal.until_shown("playing")
    terminal.watch(1.0)
    before = len(terminal.sent)
    questions = terminal.sent.count(WHERE.decode())
    terminal.watch(3.0)
    frames = terminal.sent.count(WHERE.decode()) - questions
    assert frames > 5
    assert (len(terminal.sent) - before) / frames < 8000  # a painted picture alone is 150,000


def test_now_and_then_all_of_the_picture_is_painted_again():
    """Whatever has written across it: nothing moves that it did not move itself."""

    async def act(harness):
        spectrogram, sent = harness.view.spectrogram, []
        for _ in range(round(2.5 * REPAINT_S * COLUMNS_PER_S)):
            harness.view.pen = Pen(harness.view.screen, harness.view.console)
            spectrogram.follow(None, 1 / COLUMNS_PER_S + 1e-9)
            sent.append("scrolled" if SCROLLS in harness.view.pen.taken else "painted")
        harness.view.pen = None
        painted = [number for number, how in enumerate(sent) if how == "painted"]
        assert len(painted) == 3
        assert painted[0] == 0
        assert painted[1] == pytest.approx(REPAINT_S * COLUMNS_PER_S, abs=2)

    with_view(act)
