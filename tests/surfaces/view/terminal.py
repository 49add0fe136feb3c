"""A terminal with a program in it: a pty, and behind it an emulator that shows what the program has sent.

It answers where its cursor is, as terminals do, and can be resized, typed into, clicked at and closed.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyte

ROOT = Path(__file__).resolve().parents[3]
ENTERS, LEAVES = "\x1b[?1049h", "\x1b[?1049l"
PATIENCE_S = 240.0  # a first start compiles
LOOK_EVERY_S = 0.1
WHERE = b"\x1b[6n"  # the question for the cursor

_UNKNOWN = re.compile(rb"\x1b\[[<>=?]\d*u|\x1b\[\?\d+\$p")
"""Sequences that pyte shows as text: the keyboard protocol of kitty, requests for modes."""


class Terminal:
    """`command` in a terminal of `columns` and `rows`."""

    def __init__(
        self, *command: object, columns: int = 80, rows: int = 24, leads: bool = False, **variables: str
    ) -> None:
        """`leads`: the program leads the terminal's session, and gets SIGHUP when the terminal closes."""
        self._sent = bytearray()
        self.answers = True
        self.shows = True  # else the screen stays as it is: the emulator takes as long as what it shows
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._inside = False  # whether the program has the screen to itself
        self._unread = b""
        self._fd, inner = pty.openpty()
        self._set_size(columns, rows)
        ours = ("NO_COLOR", "COLORTERM", "COLUMNS", "LINES")  # of the terminal that the tests are started on
        environment = {k: v for k, v in os.environ.items() if k not in ours}

        def lead() -> None:
            os.setsid()
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may themselves run under nohup
            if leads:
                fcntl.ioctl(inner, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdin=inner, stdout=inner, stderr=inner, preexec_fn=lead, cwd=ROOT,
            env={**environment, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **variables},
        )  # fmt: skip
        os.close(inner)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    # --- what it shows --------------------------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        """The screen; what the program has left on it, once it has given it back."""
        buffer, columns = self.screen.buffer, range(self.screen.columns)
        return ["".join(buffer[y][x].data for x in columns) for y in range(self.screen.lines)]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def find(self, text: str) -> tuple[int, int]:
        """Return column and line of `text`."""
        for y, line in enumerate(self.lines):
            if text in line:
                return line.index(text), y
        raise AssertionError(f"'{text}' is not on the screen:\n{self.text}")

    def cell(self, x: int, y: int) -> Any:
        """Return a cell, as pyte has it."""
        return self.screen.buffer[y][x]

    # --- what comes from the program ------------------------------------------------------------------

    @property
    def sent(self) -> str:
        """All that the program has sent so far."""
        return self._sent.decode(errors="replace")

    def read(self, most: int = 1 << 16) -> bool:
        """Take what it sends, at most so many bytes; return False once it has ended."""
        if not select.select([self._fd], [], [], 0.05)[0]:
            return True
        try:
            got = os.read(self._fd, most)
        except OSError:
            return False
        self._sent += got
        if self.shows:
            self._show(got)
        if self.answers:
            for _ in range(got.count(WHERE)):
                self.type("\x1b[1;1R")
        return bool(got)

    def _show(self, got: bytes) -> None:
        """Let the emulator have all whole sequences, as long as the program has the screen."""
        self._unread += got
        cut = self._unread.rfind(b"\x1b")
        whole = self._unread if cut < 0 or len(self._unread) - cut > 64 else self._unread[:cut]
        self._unread = self._unread[len(whole) :]
        enters, leaves = ENTERS.encode(), LEAVES.encode()
        while whole:
            mark = leaves if self._inside else enters
            before, found, whole = whole.partition(mark)
            if self._inside:
                self._stream.feed(_UNKNOWN.sub(b"", before))
            if not found:
                break
            self._inside = not self._inside

    def watch(self, seconds: float) -> None:
        """Take what it sends for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.read():
            pass

    def until(self, pattern: str) -> None:
        """Wait until it has sent what `pattern` finds."""
        self._wait(lambda: re.search(pattern, self.sent), lambda: f"{pattern} in: {self.sent[-2000:]}")

    def until_sent(self, text: str, times: int) -> None:
        """Wait until it has sent `text` so often."""
        self._wait(lambda: self.sent.count(text) >= times, lambda: f"{times} times {text!r}")

    def until_shown(self, pattern: str) -> None:
        """Wait until `pattern` finds something on the screen."""
        self._wait(lambda: re.search(pattern, self.text), lambda: f"{pattern} on:\n{self.text}")

    def _wait(self, there: Callable[[], object], what: Callable[[], str]) -> None:
        over = time.monotonic() + PATIENCE_S
        while not there():
            again = time.monotonic() + LOOK_EVERY_S
            while (going := self.read()) and time.monotonic() < again:
                pass
            assert going or there(), f"it ended without {what()}"
            assert time.monotonic() < over, f"no {what()}"

    # --- what the user does ---------------------------------------------------------------------------

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def mouse(self, button: int, x: int, y: int, up: bool = False) -> None:
        """Press or let go of a button (0: left; 64, 65: the wheel; 32 more: while it moves)."""
        self.type(f"\x1b[<{button};{x + 1};{y + 1}{'m' if up else 'M'}")

    def click(self, x: int, y: int) -> None:
        self.mouse(0, x, y)
        self.mouse(0, x, y, up=True)

    def resize(self, columns: int, rows: int) -> None:
        self.screen.resize(rows, columns)
        self._set_size(columns, rows)
        self.process.send_signal(signal.SIGWINCH)

    def hang_up(self) -> None:
        """Close it, with the program still running."""
        os.close(self._fd)
        self._fd = -1

    # --- the end --------------------------------------------------------------------------------------

    def end(self, code: int = 0) -> str:
        """Wait for the end; return what was written after the view had left."""
        over = time.monotonic() + PATIENCE_S
        while self.read():
            assert time.monotonic() < over, self.sent[-2000:]
        assert self.process.wait(PATIENCE_S) == code, self.sent[-2000:]
        return self.sent.rpartition(LEAVES)[2]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._fd >= 0:
            os.close(self._fd)
