"""The view's terminal, which may stall (ssh over a lost network) or disappear (a closed window).

Textual writes from its own thread, which ends after a failed write and blocks on a full connection; either
would block the view, and so the end of the session. A write here never fails, and waits for the terminal only
as long as it exists.
"""

from __future__ import annotations

import io
import os
import select
import time

END_PATIENCE_S = 2.0
"""Time limit for the remaining output when the view closes, in seconds."""

_LOOK_EVERY_S = 0.1


class Terminal(io.TextIOBase):
    """Stream to the terminal of a file descriptor; text that cannot be written is dropped."""

    def __init__(self, fd: int) -> None:
        """Write to the terminal `fd`; the descriptor stays the caller's."""
        self._fd = fd
        # Opened again, so that non-blocking mode applies only to this stream, not to the shell's.
        self._line = os.open(os.ttyname(fd), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        self._until: float | None = None  # monotonic time
        self._lost = False
        self.stalled = False  # it had to drop text

    encoding = "utf-8"

    def fileno(self) -> int:
        """Return the descriptor, for queries of the size."""
        return self._fd

    def isatty(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Write `text`, as fast as the terminal accepts it."""
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
        """Return whether the terminal has disappeared."""
        if not self._lost:
            look = select.poll()
            look.register(self._line, 0)  # a hang-up is always reported
            self._lost = any(events & select.POLLHUP for _, events in look.poll(0))
        return self._lost

    def finish(self) -> None:
        """Write only if the terminal accepts the text soon, from now on."""
        self._until = time.monotonic() + END_PATIENCE_S

    def close(self) -> None:
        """Release the terminal."""
        if not self.closed:
            os.close(self._line)
        super().close()
