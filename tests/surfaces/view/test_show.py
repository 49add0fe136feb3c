"""The view in a real terminal, a pty: who has it when, what stays readable, how one's end ends the other."""

from __future__ import annotations

import re
import signal
import time

import pytest

pytest.importorskip("pty", reason="a terminal of POSIX")

from tests.surfaces.view.terminal import ENTERS, PATIENCE_S, Terminal


@pytest.fixture
def terminal():
    made = []

    def make(how, *options, **environment):
        made.append(
            Terminal("-m", "tests.surfaces.view.shown", how, *options, columns=100, rows=30, **environment)
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_keys_play_and_q_ends(terminal):
    shell = terminal("until-quit")
    shell.until("38;5;")
    shell.type("\x1b[C\x1b[C")
    shell.until_shown(r"0\.10 key")
    shell.until_sent("\x1b[6n", 4)  # asked again, so its answers are understood
    for _ in range(50):
        shell.type("l")
        shell.until_shown("(?s)Messages.*before.*the device has gone")
        if "ALSA lib" in shell.text:
            break
        shell.type("x")  # it came through its pipe after the page was opened: once more
        shell.watch(0.1)
    assert "ALSA lib pcm.c: underrun occurred" in shell.text  # of a C library, and not across the picture
    shell.type("x")
    shell.watch(0.3)
    shell.type("q")
    after = shell.end()
    assert "threshold 0.10 by key; summary" in after
    assert after.count("rtsep: the device has gone") == 1  # and stays readable
    assert after.count("rtsep: ALSA lib pcm.c: underrun occurred") == 1
    assert "rtsep: before" in shell.sent.partition(ENTERS)[0]


def test_what_a_session_raises_comes_through(terminal):
    assert "failed: the device is not coming back" in terminal("fails").end()


def test_a_view_that_fails_leaves_the_session_alone(terminal):
    shell = terminal("broken")
    shell.until("the audio continues")
    shell.process.send_signal(signal.SIGINT)
    after = shell.end()
    assert "the view has failed, the audio continues" in after
    (line,) = [line for line in after.splitlines() if "ZeroDivisionError" in line]
    assert "rtsep: unexpected error in the view: " in line and "the details are in" in line
    assert "Traceback" not in after
    assert "summary" in after


def test_a_session_that_is_over_closes_the_view_and_no_color_has_none(terminal):
    shell = terminal("over", NO_COLOR="1", COLORTERM="truecolor")
    assert "summary" in shell.end()
    assert "threshold" in shell.sent
    codes = {code for codes in re.findall(r"\x1b\[([\d;]+)m", shell.sent) for code in codes.split(";")}
    assert codes <= {"0", "1", "2", "7", "39", "49"}


# --- terminals that stall or go away ---------------------------------------------------------------


def test_the_last_answer_is_waited_for_and_not_left_to_the_shell(terminal, tmp_path):
    """A slow line: what the terminal answers comes when the session has ended already."""
    shell = terminal("over", "--seconds", "0", "--tell", tmp_path / "told")
    shell.until_sent("\x1b[6n", 5)
    shell.answers = False
    shell.until_sent("\x1b[6n", shell.sent.count("\x1b[6n") + 1)
    shell.process.send_signal(signal.SIGINT)
    shell.watch(0.5)  # it has ended; the question stands
    assert shell.process.poll() is None
    shell.type("\x1b[1;1R")
    assert "[1;1R" not in shell.end()  # which the line itself would show, once it is the shell's again


def told(path) -> tuple[float, ...]:
    """Wait for the last line of the program: seconds played, asked for, and of a processor."""
    over = time.monotonic() + PATIENCE_S
    while not path.exists() or not path.read_text():
        assert time.monotonic() < over
        time.sleep(0.05)
    return tuple(float(word) for word in path.read_text().split())


def test_a_terminal_that_stalls_does_not_hold_the_end_up(terminal, tmp_path):
    shell = terminal("over", "--seconds", "3", "--tell", tmp_path / "told")
    shell.until_sent("\x1b[6n", 5)
    shell.process.send_signal(signal.SIGINT)
    played, seconds, _ = told(tmp_path / "told")  # and nobody reads what it draws
    assert played >= seconds


def test_a_terminal_that_goes_away_leaves_the_sound_alone(terminal, tmp_path):
    shell = terminal("over", "--seconds", "6", "--tell", tmp_path / "told")
    shell.until_sent("\x1b[6n", 5)
    shell.process.send_signal(signal.SIGINT)
    shell.hang_up()
    played, seconds, busy = told(tmp_path / "told")
    assert played >= seconds
    assert busy < 0.5 * seconds  # a thread that reads from nowhere takes a processor whole


def test_of_many_lines_at_once_the_newest_is_shown_and_how_many_more_there_are(terminal):
    shell = terminal("until-quit")
    shell.until_shown(r"\(\+2: l lists them\)")
    shell.watch(6.0)
    assert "l lists them" not in shell.text
