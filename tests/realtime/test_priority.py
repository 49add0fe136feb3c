"""Limits on real-time work and on locked memory, as desktops set them: no process dies of them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from rtsep.realtime import priority
from rtsep.realtime.priority import REST_SHARE, RUN_NS, Rests

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")

TOO_LONG = """
import os, resource, sys, threading, time
from rtsep.realtime import time_limit
from rtsep.realtime.priority import is_real_time, raise_thread_priority
hard = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_RTTIME, (int(sys.argv[1]), hard))
for turn in range(2):  # the kernel moves the soft limit each time
    got, found = [], []
    def run():
        got.append(raise_thread_priority(1))
        before = is_real_time(threading.get_native_id())
        until = time.thread_time() + 0.4
        while time.thread_time() < until and is_real_time(threading.get_native_id()):
            pass
        found.append((before, is_real_time(threading.get_native_id())))
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if not got[0]:
        sys.exit(77)
    assert found == [(True, False)], found
print("alive", resource.getrlimit(resource.RLIMIT_RTTIME)[0] < hard)
"""


def may_be_real_time() -> bool:
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, *before)
    except OSError:
        return False
    return True


@pytest.mark.skipif(not may_be_real_time(), reason="no right to real-time priority")
@pytest.mark.parametrize("soft", [100_000, 200_000])
def test_a_thread_that_runs_for_too_long_loses_its_priority_and_no_more(soft: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", TOO_LONG, str(soft), "200000"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout.split()) == (0, ["alive", "True"]), run.stderr


HOST = """
import resource, signal
from rtsep.realtime.priority import raise_thread_priority
resource.setrlimit(resource.RLIMIT_RTTIME, (200000, 200000))
signal.signal(signal.SIGXCPU, lambda *_: None)
print(raise_thread_priority(1))
"""


def test_a_program_that_handles_the_signal_itself_gets_no_priority_that_could_kill_it() -> None:
    run = subprocess.run([sys.executable, "-c", HOST], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_other_senders_of_the_signal_end_the_process_as_ever() -> None:
    program = (
        "import os, signal; from rtsep.realtime import time_limit; assert time_limit.survive(); "
        "os.kill(os.getpid(), signal.SIGXCPU)"
    )
    run = subprocess.run([sys.executable, "-c", program], check=False)
    assert run.returncode == -24


def test_a_thread_that_never_waits_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += round(seconds * 1e9)

    monkeypatch.setattr(priority.time, "monotonic_ns", lambda: now[0])
    monkeypatch.setattr(priority.time, "sleep", sleep)
    rests, step = Rests(), RUN_NS // 3
    for _ in range(300):  # always behind
        now[0] += step
        rests.after_wait(now[0])
    share = sum(slept) * 1e9 / now[0]
    assert REST_SHARE * 0.8 < share < REST_SHARE * 1.2
    slept.clear()
    for _ in range(300):  # waits for each column
        now[0] += step
        began = now[0]
        now[0] += step
        rests.after_wait(began)
    assert not slept


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The flags with which the system was asked to lock memory."""
    asked: list[int] = []

    class Libc:
        def __init__(self, _: object) -> None:
            pass

        def mlockall(self, flags: int) -> int:
            asked.append(flags)
            return 0

    monkeypatch.setattr(priority.ctypes, "CDLL", Libc)
    monkeypatch.setattr(priority, "_size", lambda: 900 << 20)
    return asked


@pytest.mark.parametrize(
    ("megabytes", "flags"),
    [
        (None, [1 | 2 | 4]),
        (8, [1 | 2 | 4]),  # refused by the system, unless no limit binds us
        (890, []),
        (900, []),
        (1000, []),
        (1900, []),
        (1924, [1 | 4]),
        (4000, [1 | 4]),
    ],
)
def test_memory_is_locked_only_where_the_limit_allows_all_of_it(
    locked: list[int], monkeypatch: pytest.MonkeyPatch, megabytes: int | None, flags: list[int]
) -> None:
    limit = resource.RLIM_INFINITY if megabytes is None else megabytes << 20
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert priority.lock_memory() == bool(flags)
    assert locked == flags


def test_the_soft_limit_on_locked_memory_is_raised_as_far_as_that_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 20, 1 << 33))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    assert priority._lock_limit() == 1 << 33
    assert given == [(1 << 33, 1 << 33)]
