"""Guards around foreign libraries: against their chatter, their hanging, and two calls at once."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

TURN_PATIENCE_S = 4.0
"""A call that takes longer hangs: it is waited for no more, and libraries must bear what comes beside it."""

CLOSE_PATIENCE_S = 2.0
"""A stream whose driver or server has died may never close: after this long it is left behind."""


class _StandardError:
    """File descriptor 2: leads nowhere while foreign calls chatter, but for lines that we say ourselves."""

    def __init__(self) -> None:
        self._changing = threading.Lock()  # never held while anything is called or written
        self._quiet: list[threading.Thread] = []  # one entry a call
        self._speaking = 0
        self._saved = self._nowhere = -1  # open while it leads nowhere

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Let it lead nowhere."""
        us = threading.current_thread()
        with self._changing:
            self._quiet.append(us)
            self._settle()
        try:
            yield
        finally:
            self.forget(us)

    @contextlib.contextmanager
    def aloud(self) -> Iterator[None]:
        """Let it lead where it has led, whoever is quiet."""
        with self._changing:
            self._speaking += 1
            self._settle()
        try:
            yield
        finally:
            with self._changing:
                self._speaking -= 1
                self._settle()

    def forget(self, thread: threading.Thread) -> None:
        """Count the call of `thread` no more: it has ended, or hangs."""
        with self._changing:
            if thread in self._quiet:
                self._quiet.remove(thread)
            self._settle()

    def _settle(self) -> None:
        quiet = bool(self._quiet) and not self._speaking
        if quiet and self._saved < 0:
            with contextlib.suppress(OSError):  # a program without standard error is quiet enough
                self._saved, self._nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
                os.dup2(self._nowhere, 2)
        elif not quiet and self._saved >= 0:
            with contextlib.suppress(OSError):
                if os.path.sameopenfile(2, self._nowhere):  # else somebody has led it elsewhere meanwhile
                    os.dup2(self._saved, 2)
            os.close(self._saved)
            os.close(self._nowhere)
            self._saved = self._nowhere = -1


class _Turns:
    """One call at a time, where libraries do not bear two; one that hangs keeps nobody waiting for ever."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: threading.Thread | None = None

    @contextlib.contextmanager
    def turn(self, patience: float = TURN_PATIENCE_S) -> Iterator[None]:
        """Wait until it is our turn, `patience` seconds at most. Not to be nested."""
        us = threading.current_thread()
        with self._changed:
            self._changed.wait_for(lambda: self._holder is None, patience)
            self._holder = us
        try:
            yield
        finally:
            self.forget(us)

    def forget(self, thread: threading.Thread) -> None:
        """Let the next one have its turn, if `thread` has it: its call has ended, or hangs."""
        with self._changed:
            if self._holder is thread:
                self._holder = None
                self._changed.notify()


_stderr, _turns = _StandardError(), _Turns()


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send file descriptor 2 nowhere: ALSA and JACK name every device that is not there.

    It is the whole program's: what others write there meanwhile is lost, but for what is said `aloud`.
    """
    if sys.stderr:
        sys.stderr.flush()
    with _stderr.quiet():
        yield


def aloud() -> contextlib.AbstractContextManager[None]:
    """Let what is written on standard error through, for a line of our own; flush it within."""
    return _stderr.aloud()


def one_at_a_time(patience: float = TURN_PATIENCE_S) -> contextlib.AbstractContextManager[None]:
    """Wait for the calls of other threads into the sound systems, `patience` seconds at most.

    A call that `within` has given up on is not waited for. Not to be nested.
    """
    return _turns.turn(patience)


_left_behind: list[object] = []
_hung: list[threading.Thread] = []


def hangs() -> bool:
    """Return whether a call that was given up on has not come back yet.

    Then the end of the process may hang as well: libraries wait for their threads when they are unloaded.
    """
    return any(thread.is_alive() for thread in _hung)


def close_or_leave(stream: object, close: Callable[[], None]) -> bool:
    """Run `close`; return False where it does not come back, and `stream` had to be left behind.

    It may call back yet, so that `stream`, and the memory that it holds, stays for good.
    """

    def shut() -> None:
        with contextlib.suppress(Exception):
            close()

    closed = within(CLOSE_PATIENCE_S, shut)
    if not closed:
        _left_behind.append(stream)
    return closed


def within(seconds: float, action: Callable[[], None]) -> bool:
    """Run `action` on a thread of its own; return whether it came back within `seconds`.

    What it holds of this module is taken from it if it does not.
    """
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(seconds)
    if not thread.is_alive():
        return True
    _stderr.forget(thread)
    _turns.forget(thread)
    _hung.append(thread)
    return False
