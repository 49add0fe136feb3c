"""Helper threads of a session for slow work that changes no state; their results arrive as commands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from rtsep.errors import NoThreadError
from rtsep.realtime.threads import start
from rtsep.session.commands import Arrived, Inbox

T = TypeVar("T")


class Helpers:
    """Starts helper threads for one owner."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._threads: list[threading.Thread] = []

    def run(
        self, name: str, work: Callable[[], T], ends_soon: bool = False, needed: bool = False
    ) -> Future[T]:
        """Do `work` on a thread called `name`; the outcome wakes the owner.

        `ends_soon`: wait for this thread when the session ends.

        If no thread can be started, the outcome is `NoThreadError`. With `needed`, `work` is done before this
        returns instead: it releases something.
        """
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                result = work()
            except BaseException as error:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)
            self._inbox.send(Arrived())

        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=run, name=name, daemon=True)
        try:
            start(thread)
        except NoThreadError as error:
            if needed:
                run()
            else:
                outcome.set_exception(error)
        else:
            if ends_soon:
                self._threads.append(thread)
        return outcome

    def join(self, patience_s: float) -> None:
        """Wait for the threads that end soon, at most `patience_s` seconds together."""
        until = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


def abandon(work: Future[T], clear: Callable[[T], None]) -> None:
    """Pass the result of `work` to `clear`, now or when it arrives, because nobody waits for it any more."""

    def arrived(done: Future[T]) -> None:
        if done.exception() is None:
            clear(done.result())

    work.add_done_callback(arrived)
