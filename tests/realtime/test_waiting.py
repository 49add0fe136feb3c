"""A signal's handler runs while the main thread waits, even if the wait itself is not interrupted."""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rtsep.realtime.waiting import PIECE_S, take_from, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGUSR1 and pthread_kill are POSIX")

PATIENCE_S = 20.0


@contextmanager
def signalled(handle: Callable[[], object]) -> Iterator[None]:
    """Let `handle` run for a signal that another thread is given while this one waits."""
    before = signal.signal(signal.SIGUSR1, lambda *_: handle())

    def send() -> None:
        time.sleep(2 * PIECE_S)  # most likely the wait has begun; if not, the test is the easier one
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_handler_ends_a_wait_for_an_event():
    event = threading.Event()
    with signalled(event.set):
        assert wait_for(event, PATIENCE_S)


def test_a_handler_that_raises_ends_a_wait_without_a_limit():
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), signalled(interrupt):
        wait_for(threading.Event())


def test_a_handler_ends_a_wait_for_an_entry():
    entries: queue.SimpleQueue[str] = queue.SimpleQueue()
    with signalled(lambda: entries.put("came")):
        assert take_from(entries) == "came"


def test_a_wait_ends_at_its_time():
    begun = time.monotonic()
    assert not wait_for(threading.Event(), 2.5 * PIECE_S)
    assert time.monotonic() - begun >= 2.5 * PIECE_S


def test_what_has_happened_is_not_waited_for():
    event = threading.Event()
    event.set()
    assert wait_for(event, 0.0)
