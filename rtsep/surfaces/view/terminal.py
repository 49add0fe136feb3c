"""The terminal that the view draws on: one that may stall (ssh over a lost network), or go away (its window).

Textual writes from a thread of its own, which a refused write ends, and which a full line holds up; either
would hold up the view, and with it the end of the session. A write here refuses nothing, and waits for the
terminal only as long as there is something to wait for.
"""

from __future__ import annotations

import io
import os
import select
import time

LAST_WORDS_S = 2.0
"""How long what is still to be written may take once the view closes."""

_LOOK_EVERY_S = 0.1


class Terminal(io.TextIOBase):
    """A stream to the terminal behind a file descriptor; where it cannot be written to, it drops the text."""

    def __init__(self, fd: int) -> None:
        """Write to the terminal that `fd` is; the descriptor stays the caller's."""
        self._fd = fd
        # Opened anew, so that not to wait is a property of this stream, and not of the shell's.
        self._line = os.open(os.ttyname(fd), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        self._until: float | None = None  # monotonic time
        self._lost = False
        self.stalled = False  # whether it had to leave something out

    encoding = "utf-8"

    def fileno(self) -> int:
        """Return the descriptor, for what asks for the size."""
        return self._fd

    def isatty(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Write `text`, as fast as the terminal takes it."""
        rest = memoryview(text.encode("utf-8", "replace"))
        while rest and not self.gone:
            try:
                rest = rest[os.write(self._line, rest) :]
            except BlockingIOError:
                if self._until is not None and time.monotonic() > self._until:
                    self.stalled = True
                    break
                select.select([], [self._line], [], _LOOK_EVERY_S)
            except OSError:
                self._lost = True
        return len(text)

    @property
    def gone(self) -> bool:
        """Whether there is nobody any more who sees what is written."""
        if not self._lost:
            look = select.poll()
            look.register(self._line, 0)  # a hang-up is told of unasked
            self._lost = any(told & select.POLLHUP for _, told in look.poll(0))
        return self._lost

    def finish(self) -> None:
        """Write what comes from now on only if the terminal takes it soon."""
        self._until = time.monotonic() + LAST_WORDS_S

    def close(self) -> None:
        """Let go of the terminal."""
        if not self.closed:
            os.close(self._line)
        super().close()
