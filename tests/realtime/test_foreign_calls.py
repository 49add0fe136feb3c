"""Guards around foreign libraries, with calls that overlap and calls that hang."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

from rtsep.realtime import foreign_calls
from rtsep.realtime.foreign_calls import aloud, close_or_leave, hangs, one_at_a_time, quiet_stderr, within
from tests.cli.program import ROOT
from tests.waiting import until

PATIENCE_S = 60.0


@pytest.fixture
def written(capfd):
    """The text written to file descriptor 2 since."""
    return lambda: capfd.readouterr().err


class Call:
    """A foreign call on a thread of its own, within `guard`, from its making until `end`."""

    def __init__(self, guard) -> None:
        self._leaving, begun = threading.Event(), threading.Event()

        def run() -> None:
            with guard:
                begun.set()
                self._leaving.wait(PATIENCE_S)

        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert begun.wait(PATIENCE_S)

    def end(self) -> None:
        self._leaving.set()
        self._thread.join()


def chatter(text: str) -> None:
    os.write(2, text.encode())


def test_two_quiet_calls_that_overlap_leave_standard_error_as_it_was(written):
    first, second = Call(quiet_stderr()), Call(quiet_stderr())
    chatter("both ")
    first.end()
    chatter("second ")
    second.end()
    chatter("after")
    assert written() == "after"


def test_a_line_of_our_own_comes_through_and_the_chatter_around_it_does_not(written):
    call = Call(quiet_stderr())
    chatter("before ")
    with aloud():
        chatter("ours ")
        with aloud():
            pass
        chatter("still ours")
    chatter(" behind")
    call.end()
    assert written() == "ours still ours"


# In a process of its own: here, pytest has taken sys.stderr.
SAY = """
import logging, os
from rtsep.session import api as session
from rtsep.realtime.foreign_calls import quiet_stderr
from rtsep.surfaces.view.lines import Lines

logging.basicConfig(format="log: %(message)s")
with quiet_stderr():
    os.write(2, b"chatter\\n")
    Lines()("a controller\\x1b[2J has left")
    session._notify("a disk is full")
    os.write(2, b"chatter\\n")
"""


def test_what_a_session_says_while_devices_are_looked_for_is_not_lost():
    done = subprocess.run([sys.executable, "-c", SAY], capture_output=True, text=True, cwd=ROOT, timeout=240)
    assert done.stderr == "rtsep: a controller\\x1b[2J has left\nlog: a disk is full\n"


def test_a_call_that_hangs_is_no_longer_quiet_nor_has_its_turn_for_ever(written):
    leaving, ended = threading.Event(), threading.Event()

    def hang() -> None:
        with one_at_a_time(), quiet_stderr():
            leaving.wait(PATIENCE_S)
        ended.set()

    def take_a_turn() -> None:
        with one_at_a_time(PATIENCE_S):
            pass

    assert not within(0.1, hang)
    chatter("printed")
    turn = Call(one_at_a_time(PATIENCE_S))
    leaving.set()
    assert ended.wait(PATIENCE_S)
    assert not within(0.1, take_a_turn), "the late one has given back what was another's by then"
    turn.end()
    assert written() == "printed"


def test_calls_come_one_after_the_other_unless_one_takes_too_long():
    first, order = Call(one_at_a_time()), []

    def second(patience: float) -> None:
        with one_at_a_time(patience):
            order.append(patience)

    waiting = threading.Thread(target=second, args=(PATIENCE_S,))
    waiting.start()
    waiting.join(0.1)
    assert order == []
    first.end()
    waiting.join()
    hanging = Call(one_at_a_time())
    second(0.01)
    assert order == [PATIENCE_S, 0.01]
    hanging.end()


def test_standard_error_that_somebody_leads_elsewhere_meanwhile_stays_there(written, tmp_path):
    elsewhere = os.open(tmp_path / "elsewhere", os.O_WRONLY | os.O_CREAT)
    with quiet_stderr():
        os.dup2(elsewhere, 2)
    chatter("there")
    os.close(elsewhere)
    assert (tmp_path / "elsewhere").read_text() == "there" and written() == ""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts handles in /proc")
def test_a_limit_of_handles_costs_none(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    def count():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with quiet_stderr():
            pass
    assert count() == before


def test_a_call_that_was_given_up_on_is_known_until_it_comes_back():
    released = threading.Event()
    assert not within(0.01, lambda: released.wait(PATIENCE_S))
    assert hangs()
    released.set()
    until(lambda: not hangs(), "the call has come back")


def test_a_limit_of_threads_is_a_call_that_did_not_run(no_threads):
    ran = []
    assert within(PATIENCE_S, lambda: ran.append(1)) is None
    assert not ran and not hangs()


WORKS_AT_THE_END = """
import sys, threading
from rtsep.cli.main import main

threading.Thread(target=threading.Event().wait).start()  # as a compiler that nobody waits for any more
sys.argv = ["rtsep", "models", "nothing-of-this-name"]
raise SystemExit(main())
"""

HANGS_AT_THE_END = """
import atexit, sys, threading
from rtsep.cli.main import main
from rtsep.realtime.foreign_calls import within

for_ever = threading.Event()
atexit.register(for_ever.wait)  # as a library whose threads never end
assert not within(0.01, for_ever.wait)
sys.argv = ["rtsep", "models", "nothing-of-this-name"]
raise SystemExit(main())
"""


def test_a_stream_that_closes_late_is_kept_until_then_and_no_longer(monkeypatch):
    monkeypatch.setattr(foreign_calls, "CLOSE_PATIENCE_S", 0.05)
    going_on = threading.Event()

    class Stream:
        def close(self) -> bool:
            return close_or_leave(self, self._close)

        def _close(self) -> None:
            going_on.wait(PATIENCE_S)

    stream = Stream()
    kept = weakref.ref(stream)
    assert not stream.close()
    del stream
    gc.collect()
    assert kept() is not None, "its library may still use its memory"
    going_on.set()
    until(lambda: kept() is None)


@pytest.mark.parametrize("program", [HANGS_AT_THE_END, WORKS_AT_THE_END], ids=["hangs", "works"])
def test_no_thread_keeps_the_command_line_from_ending(program):
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode > 1
    assert "nothing-of-this-name" in done.stderr


def test_after_a_while_a_call_of_a_kind_that_hangs_is_tried_again_a_few_times(monkeypatch):
    free = threading.Event()
    assert within(0.01, free.wait, "a kind") is False
    threads = threading.active_count()
    assert within(0.01, free.wait, "a kind") is False
    assert threading.active_count() == threads, "not so soon"
    monkeypatch.setattr(foreign_calls, "AGAIN_AFTER_S", 0.0)
    for _ in range(20):
        assert within(0.01, free.wait, "a kind") is False
    assert threading.active_count() == threads - 1 + foreign_calls.MAX_HUNG
    free.set()
    until(lambda: not hangs())
    assert within(30.0, lambda: None, "a kind")
