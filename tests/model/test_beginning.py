"""A model process may send anything: the session that reads it continues, in bounded time and memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtsep.errors import ModelError, ModelProcessError
from rtsep.model import launch
from rtsep.model import supervisor as supervision
from rtsep.model.beginning import MAX_BYTES, await_ready, end_reason
from rtsep.model.messages import Loading, Ready, Refused
from rtsep.model.supervisor import ModelSupervisor
from rtsep.realtime.mask_exchange import MaskExchange
from rtsep.realtime.wire import encode
from tests.model.test_supervisor import SPEC, wait_until
from tests.waiting import running

READY = encode(Ready(1, False, False, {}, 0.0, False, False, "")).encode()
REFUSED = encode(Refused("it \x1b[2J fails")).encode()
ENDLESS = b"while True: out.write(b'x' * 4096)"

Start = Callable[[bytes], subprocess.Popen[bytes]]


def command(program: bytes) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time; out = sys.stdout.buffer\n{program.decode()}"]


def sends(content: bytes) -> bytes:
    return f"out.write({content!r})".encode()


@pytest.fixture
def start() -> Iterator[Start]:
    """Start model processes that run a program; end them."""
    begun = []

    def start(program: bytes) -> subprocess.Popen[bytes]:
        begun.append(launch.launch(command(program)))
        return begun[-1]

    yield start
    for process in begun:
        launch._end(process)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (sends(b"\xff\n"), "not a message"),
        (sends(b"[" * 5000 + b"\n"), "not a message"),
        (ENDLESS, "more than 64 kB"),
        (f"while True: {sends(encode(Loading('a')).encode()).decode()}".encode(), "more than 64 kB"),
        (sends(b"{}") + b"; out.flush(); os._exit(3)", "exit code 3"),
    ],
    ids=["not text", "deep", "a line without an end", "lines without an end", "cut off"],
)
def test_whatever_comes_before_ready_is_an_error_of_the_process(start: Start, program: bytes, words: str):
    with pytest.raises(ModelProcessError, match=words) as error:
        await_ready(start(program), ["command"], 30.0)
    assert str(error.value).isprintable() and len(str(error.value)) < MAX_BYTES


def test_a_process_that_only_closes_its_output_is_ended_in_time(start: Start):
    with pytest.raises(ModelProcessError, match="exit code -9"):
        await_ready(start(b"os.close(1); time.sleep(20)"), ["command"], 0.5)


def test_a_reason_for_the_end_has_no_control_characters(start: Start):
    with pytest.raises(ModelError, match=r"it \\x1b\[2J fails"):
        await_ready(start(sends(REFUSED)), ["command"], 30.0)


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (b"\xff\n", "ended with code 0"),
        (b"\xff\n" + REFUSED, r"it \x1b[2J fails"),
        (b"{}\n[]\n\n" + b"[" * 9000, "ended with code 0"),
        (b"x" * 60_000, "ended with code 0"),
    ],
    ids=["not text", "a reason after it", "no messages", "a line without an end"],
)
def test_nothing_that_a_process_leaves_prevents_a_reason(start: Start, left: bytes, reason: str):
    process = start(sends(left))
    process.wait()
    assert end_reason(process) == reason
    assert end_reason(process) == "ended with code 0"  # its pipe is closed


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_copy_of_the_pipe_in_another_process_delays_no_reason(start: Start):
    process = start(b"os.fork() or (os.close(2), time.sleep(8))")
    process.wait()
    began = time.monotonic()
    assert end_reason(process) == "ended with code 0"
    assert time.monotonic() - began < 4.0


def test_the_watcher_survives_what_a_process_leaves(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(supervision, "RETRY_STEP_S", 0.01)
    shared = MaskExchange.create(SPEC.channels, SPEC.bins)
    supervisor = ModelSupervisor(shared, Path("unused"), "cpu")
    supervisor._command = command(sends(READY + b"\xff\n"))
    try:
        supervisor.start()
        wait_until(lambda: supervisor.restarts >= 2, "a second restart")
        assert supervisor.last_error == "ended with code 0"
    finally:
        supervisor.stop()
        shared.close()
    assert not running(supervisor.pid)
