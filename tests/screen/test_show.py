"""The view in a real terminal, a pty: who has it when, what stays readable, how one's end ends the other."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pytest

LEAVES = "\x1b[?1049l"
PATIENCE_S = 60.0


class Terminal:
    """A pty of 100 x 30 with a program in it; answers where its cursor is, as terminals do."""

    def __init__(self, how: str, **environment: str) -> None:
        self.sent = ""
        self._fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        variables = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLORTERM")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.screen.shown", how],
            stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
            env={**variables, "TERM": "xterm-256color", **environment},
        )  # fmt: skip
        os.close(inner)

    def read(self) -> bool:
        """Take what it sends; return False once it has ended."""
        if not select.select([self._fd], [], [], 0.1)[0]:
            return True
        try:
            got = os.read(self._fd, 1 << 16).decode(errors="replace")
        except OSError:
            return False
        self.sent += got
        for _ in range(got.count("\x1b[6n")):
            self.type("\x1b[1;1R")
        return bool(got)

    def until(self, pattern: str) -> None:
        over = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.sent):
            assert self.read(), f"it ended: {self.sent[-2000:]}"
            assert time.monotonic() < over, f"no {pattern} in: {self.sent[-2000:]}"

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def end(self) -> str:
        """Wait for the end; return what was written after the view had left."""
        over = time.monotonic() + PATIENCE_S
        while self.read():
            assert time.monotonic() < over
        assert self.process.wait(PATIENCE_S) == 0, self.sent[-2000:]
        return self.sent.rpartition(LEAVES)[2]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._fd)


@pytest.fixture
def terminal():
    made = []

    def make(how, **environment):
        made.append(Terminal(how, **environment))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_keys_play_and_q_ends(terminal):
    shell = terminal("until-quit")
    shell.until("underrun occurred")  # of a C library, as a line and not across the picture
    shell.until("38;5;")
    shell.type("\x1b[C\x1b[C")
    shell.until(r"0\.10")
    shell.until(r"(?s)(\[6n.*){4}")  # asked again, so its answers are understood
    shell.type("q")
    after = shell.end()
    assert "threshold 0.10 by key; summary" in after
    assert after.count("rtsep: the device has gone") == 1  # and stays readable
    assert after.count("rtsep: ALSA lib pcm.c: underrun occurred") == 1
    assert "rtsep: before" in shell.sent.partition("\x1b[?1049h")[0]


def test_what_a_session_raises_comes_through(terminal):
    assert "failed: the device is not coming back" in terminal("fails").end()


def test_a_view_that_fails_leaves_the_session_alone(terminal):
    shell = terminal("broken")
    after = shell.end()
    assert "the view has failed, the sound goes on" in after
    assert "ZeroDivisionError" in after
    assert "summary" in after


def test_a_session_that_is_over_closes_the_view_and_no_color_has_none(terminal):
    shell = terminal("over", NO_COLOR="1", COLORTERM="truecolor")
    assert "summary" in shell.end()
    assert "threshold" in shell.sent
    codes = {code for codes in re.findall(r"\x1b\[([\d;]+)m", shell.sent) for code in codes.split(";")}
    assert codes <= {"0", "1", "2", "7", "39", "49"}
