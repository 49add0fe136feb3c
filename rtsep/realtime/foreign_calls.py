"""Guards around foreign libraries: against their messages, hangs, and simultaneous calls."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rtsep.errors import NoThreadError, RtsepError
from rtsep.realtime.threads import start

TURN_PATIENCE_S = 4.0
"""Time limit of a call in seconds; a longer one is taken to hang, and other calls then run beside it."""

CLOSE_PATIENCE_S = 2.0
"""Time limit of a close in seconds: a stream with a dead driver or server is then abandoned."""


class _StandardError:
    """File descriptor 2: redirected to the null device during foreign calls, except for rtsep's own lines."""

    def __init__(self) -> None:
        self._changing = threading.Lock()  # never held during a call or a write
        self._quiet: list[threading.Thread] = []  # one entry per call
        self._speaking = 0
        self._saved = self._nowhere = -1  # open while it is redirected

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Redirect it to the null device."""
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
        """Restore the original target, whatever other threads do."""
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
        """Stop counting the call of `thread`: it has ended, or hangs."""
        with self._changing:
            if thread in self._quiet:
                self._quiet.remove(thread)
            self._settle()

    def _settle(self) -> None:
        quiet = bool(self._quiet) and not self._speaking
        if quiet and self._saved < 0:
            with contextlib.suppress(OSError):  # a program without standard error needs no redirection
                self._redirect()
        elif not quiet and self._saved >= 0:
            with contextlib.suppress(OSError):
                if os.path.sameopenfile(2, self._nowhere):  # else another thread has redirected it meanwhile
                    os.dup2(self._saved, 2)
            os.close(self._saved)
            os.close(self._nowhere)
            self._saved = self._nowhere = -1

    def _redirect(self) -> None:
        with contextlib.ExitStack() as opened:
            saved = os.dup(2)
            opened.callback(os.close, saved)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            opened.callback(os.close, nowhere)
            os.dup2(nowhere, 2)
            opened.pop_all()
        self._saved, self._nowhere = saved, nowhere


class _Turns:
    """One call at a time, for libraries that cannot run two; a hanging call blocks others only briefly."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: threading.Thread | None = None

    @contextlib.contextmanager
    def turn(self, patience: float = TURN_PATIENCE_S) -> Iterator[None]:
        """Wait for this thread's turn, at most `patience` seconds. Do not nest."""
        us = threading.current_thread()
        with self._changed:
            self._changed.wait_for(lambda: self._holder is None, patience)
            self._holder = us
        try:
            yield
        finally:
            self.forget(us)

    def forget(self, thread: threading.Thread) -> None:
        """Pass the turn on if `thread` has it: its call has ended, or hangs."""
        with self._changed:
            if self._holder is thread:
                self._holder = None
                self._changed.notify()


_stderr, _turns = _StandardError(), _Turns()


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Redirect file descriptor 2 to the null device: ALSA and JACK report every missing device.

    This affects the whole program: other text written meanwhile is lost, except inside `aloud`.
    """
    if sys.stderr:
        sys.stderr.flush()
    with _stderr.quiet():
        yield


def aloud() -> contextlib.AbstractContextManager[None]:
    """Let text on standard error through, for one of rtsep's own lines; flush it inside."""
    return _stderr.aloud()


def one_at_a_time(patience: float = TURN_PATIENCE_S) -> contextlib.AbstractContextManager[None]:
    """Wait for other threads' calls into the sound systems, at most `patience` seconds.

    Calls that `within` has abandoned are not waited for. Do not nest.
    """
    return _turns.turn(patience)


MAX_HUNG, AGAIN_AFTER_S = 8, 30.0
"""Most abandoned calls of one kind, and the time in seconds until another one is tried."""


class _Hung(NamedTuple):
    """Abandoned call."""

    thread: threading.Thread
    kind: str
    since: float  # monotonic


_left_behind: dict[object, object] = {}  # streams whose close has not returned
_hung: list[_Hung] = []
_changing_hung = threading.Lock()


def hangs() -> bool:
    """Return whether an abandoned call has still not returned.

    Then the end of the process may hang as well: libraries wait for their threads when they are unloaded.
    """
    return any(each.thread.is_alive() for each in _hung)


def close_or_leave(stream: object, close: Callable[[], None]) -> bool:
    """Run `close`; return False if it does not return in time, in which case `stream` is abandoned.

    The library may still use its memory, so `stream` is kept until the call returns, if it ever does.
    """
    token = object()
    _left_behind[token] = stream

    def shut() -> None:
        with contextlib.suppress(Exception):
            close()
        _left_behind.pop(token, None)

    return bool(within(CLOSE_PATIENCE_S, shut))


def finish_within(seconds: float, action: Callable[[], None], hung: RtsepError, kind: str = "") -> None:
    """Run `action` as `within` does; raise `hung` if it does not finish, or `NoThreadError`."""
    ended = within(seconds, action, kind)
    if ended is None:
        raise NoThreadError
    if not ended:
        raise hung


def within(seconds: float, action: Callable[[], None], kind: str = "") -> bool | None:
    """Run `action` on its own thread; return whether it finished within `seconds`.

    If it did not, it loses all locks of this module. Return None if no thread can be started: `action` does
    not run then.

    With a `kind`, return False at once while an abandoned call of that kind has not returned: each one keeps
    a thread and, of some libraries, file handles. A few more are tried later, because a call can be lost with
    a server that has since been restarted.
    """
    with _changing_hung:
        _hung[:] = [each for each in _hung if each.thread.is_alive()]
        since = [each.since for each in _hung if kind and each.kind == kind]
        if since and (len(since) >= MAX_HUNG or time.monotonic() < max(since) + AGAIN_AFTER_S):
            return False
    thread = threading.Thread(target=action, daemon=True)
    try:
        start(thread)
    except NoThreadError:
        return None
    thread.join(seconds)
    if not thread.is_alive():
        return True
    _stderr.forget(thread)
    _turns.forget(thread)
    with _changing_hung:
        _hung.append(_Hung(thread, kind, time.monotonic()))
    return False
