import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import rtsep
from rtsep.errors import ModelError, ModelProcessError
from rtsep.model import supervisor as supervision
from rtsep.model.messages import ANSWERS, TASKS, Ready
from rtsep.model.supervisor import ModelSupervisor
from rtsep.realtime import mask_exchange as rings
from rtsep.realtime.atomics import acquire
from rtsep.realtime.mask_exchange import CAPACITY, READY, MaskExchange
from tests.models import expected_mask, make_model, make_spec
from tests.waiting import running, until

ROOT = Path(rtsep.__file__).parents[1]
PATIENCE_S = 60.0  # for what must happen; only a failing test waits that long
SPEC = make_spec("echo", "stage")


wait_until = functools.partial(until, patience_s=PATIENCE_S, every_s=0.005)


class Player:
    """The hop loop's side of the slots: publishes columns and holds each mask against its column."""

    def __init__(self, shared, kind="echo"):
        self.exchange, self.kind = shared.exchange, kind
        self.number, self.noise = 0, np.random.default_rng(5)
        self.since_start = 0

    def publish(self):
        column = self.noise.normal(0, 0.5, (SPEC.channels, SPEC.bins, 2)).astype(np.float32)
        self.exchange.columns[self.number % CAPACITY] = column
        rings.publish_column(self.exchange, self.number)
        self.number += 1
        return column

    def play(self, count):
        """Publish one column after the other, wait for each mask, assert that it is the right one."""
        for _ in range(count):
            number, column = self.number, self.publish()
            wait_until(
                lambda number=number: rings.mask_is_there(self.exchange, number), f"mask of column {number}"
            )
            expected = expected_mask(self.kind, self.since_start, column)
            assert np.array_equal(self.exchange.masks[number % CAPACITY], expected), (
                f"mask of column {number}"
            )
            self.since_start += 1


@pytest.fixture
def shared():
    shared = MaskExchange.create(SPEC.channels, SPEC.bins)
    yield shared
    shared.close()


@pytest.fixture(scope="module")
def model(model_folder):
    return lambda kind: make_model(model_folder / f"supervised-{kind}.rtsep", kind, profile="stage")


def is_ready(shared):
    return acquire(shared.exchange.header, rings.MODEL_STATE) == READY


def test_a_restart_finds_the_file_from_every_folder(shared, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    supervisor = ModelSupervisor(shared, Path("m.pt"), "cpu")
    assert TASKS.decode(supervisor._task).model == str(tmp_path / "m.pt")


def test_a_model_answers_in_order_survives_being_killed_and_hung_and_leaves_when_told(shared, model):
    supervisor = ModelSupervisor(shared, model("state-counter"), "cpu")
    player = Player(shared, "state-counter")
    try:
        supervisor.start()
        wait_until(lambda: is_ready(shared), "ready")
        first = supervisor.pid
        assert running(first) and first != os.getpid()
        player.play(3 * CAPACITY // 2)  # every slot, some twice; the counter shows a lost or doubled column

        os.kill(first, signal.SIGKILL)
        wait_until(lambda: supervisor.restarts == 1, "a restart after kill -9")
        wait_until(lambda: is_ready(shared), "ready again after kill -9")
        second = supervisor.pid
        assert second != first and not running(first)
        player.since_start = 0  # a new process starts from a zero state
        player.play(20)

        os.kill(second, signal.SIGSTOP)

        # One column each 50 ms: longer than the supervisor's looks are apart, as a window of 2048 may be.
        def restarted():
            player.publish()
            time.sleep(0.05)
            return supervisor.restarts == 2

        wait_until(restarted, "a restart after SIGSTOP")
        assert not running(second)
        wait_until(lambda: is_ready(shared), "ready again after SIGSTOP")
        player.since_start = 0
        player.play(20)
        third = supervisor.pid
    finally:
        supervisor.stop()
    assert not running(third)
    assert supervisor.restarts == 2
    # at rest it is nobody's duty to start it again
    time.sleep(0.1)
    assert supervisor.restarts == 2 and supervisor.pid == third


def test_an_idle_model_is_no_hung_model_and_a_stopped_process_is_made_to_leave(shared, model, monkeypatch):
    monkeypatch.setattr(supervision, "HANG_PATIENCE_S", 0.3)
    monkeypatch.setattr(supervision, "_IDLE_AFTER_S", 0.1)
    supervisor = ModelSupervisor(shared, model("echo"), "cpu")
    player = Player(shared)
    try:
        supervisor.start()
        wait_until(lambda: is_ready(shared), "ready")
        player.play(5)
        time.sleep(1.0)  # three times the patience without a column
        assert supervisor.restarts == 0
        player.play(5)
        assert supervisor.restarts == 0
        # behind by less than a ring: each column is answered all the same
        columns = [player.publish() for _ in range(CAPACITY - 4)]
        last = player.number - 1
        wait_until(lambda: rings.mask_is_there(shared.exchange, last), "the last of many masks")
        for back, column in enumerate(reversed(columns)):
            mask = shared.exchange.masks[(last - back) % CAPACITY]
            assert np.array_equal(mask, expected_mask("echo", 0, column))
        assert acquire(shared.exchange.header, rings.MODEL_SKIPPED) == 0
        pid = supervisor.pid
        os.kill(pid, signal.SIGSTOP)
    finally:
        supervisor.stop()
    assert not running(pid)


def test_a_model_that_fell_a_ring_behind_restarts_at_the_newest_column(shared, model):
    supervisor = ModelSupervisor(shared, model("state-counter"), "cpu")
    player = Player(shared, "state-counter")
    try:
        supervisor.start()
        wait_until(lambda: is_ready(shared), "ready")
        player.play(3)
        os.kill(supervisor.pid, signal.SIGSTOP)
        for _ in range(CAPACITY + 10):
            player.publish()
        os.kill(supervisor.pid, signal.SIGCONT)
        newest = player.number - 1
        wait_until(lambda: rings.mask_is_there(shared.exchange, newest), "the newest mask")
        assert acquire(shared.exchange.header, rings.MODEL_SKIPPED) == CAPACITY + 9
        assert not shared.exchange.masks[newest % CAPACITY].any()  # the count begins at 0 again
        player.since_start = 1
        player.play(5)
        assert supervisor.restarts == 0
    finally:
        supervisor.stop()


def test_a_program_that_starts_to_raise_is_started_again(shared, model):
    supervisor = ModelSupervisor(shared, model("raises-later"), "cpu")
    player = Player(shared, "raises-later")
    try:
        supervisor.start()
        wait_until(lambda: is_ready(shared), "ready")
        player.play(40)
        player.publish()  # the 41st column of its life
        wait_until(lambda: supervisor.restarts == 1 and is_ready(shared), "a restart")
        player.since_start = 0
        player.play(3)
    finally:
        supervisor.stop()


def test_a_broken_model_is_refused_with_what_its_process_says(shared, model):
    supervisor = ModelSupervisor(shared, model("raises"), "cpu")
    with pytest.raises(ModelError) as error:
        supervisor.start()
    assert "a program that raises" in str(error.value)
    pid = supervisor.pid
    supervisor.stop()
    assert not running(pid)


def test_nothing_in_the_folder_one_plays_from_stands_in_for_the_model(shared, model, tmp_path, monkeypatch):
    program = model("ones")
    for name in ("json", "queue", "random", "torch", "rtsep"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not me')")
    monkeypatch.chdir(tmp_path)
    supervisor = ModelSupervisor(shared, program, "cpu")
    try:
        supervisor.start()
        wait_until(lambda: is_ready(shared), "ready")
    finally:
        supervisor.stop()


def test_a_process_that_ends_before_it_is_ready_is_an_error_with_its_exit_code(shared):
    supervisor = ModelSupervisor(shared, Path("unused"), "cpu")
    supervisor._command = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(
        ModelProcessError, match=r"ended before it was ready \(exit code 3\); try it by hand: "
    ):
        supervisor.start()
    supervisor.stop()


PARENT = """
import os, subprocess, sys
from rtsep.model import launch
from rtsep.model.messages import Serve
from rtsep.realtime.wire import encode
command = [*launch.COMMAND, encode(Serve(sys.argv[1], sys.argv[2], None, "cpu", os.getpid(), True, True))]
child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
for line in child.stdout:
    print(line, end="", flush=True)
    if '"ready"' in line:
        break
sys.stdin.readline()
"""


def test_the_model_leaves_when_its_parent_is_gone(shared, model):
    command = [sys.executable, "-c", PARENT, str(shared.path), str(model("ones"))]
    parent = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid = next(answer.pid for answer in map(ANSWERS.decode, parent.stdout) if isinstance(answer, Ready))
    wait_until(lambda: is_ready(shared), "ready")
    assert running(pid)
    parent.kill()
    parent.wait()
    wait_until(lambda: not running(pid), "the model leaving after its parent")
    parent.stdin.close()
    parent.stdout.close()


def test_a_model_that_cannot_start_again_is_tried_until_it_can_and_says_why(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(supervision, "RETRY_STEP_S", 0.1)
    path = make_model(tmp_path / "m.pt", "half", profile="stage")
    whole = path.read_bytes()
    supervisor = ModelSupervisor(shared, path, "cpu")
    player = Player(shared, "half")
    try:
        supervisor.start()
        wait_until(lambda: is_ready(shared), "ready")
        path.write_bytes(whole[:100])
        os.kill(supervisor.pid, signal.SIGKILL)
        wait_until(lambda: supervisor.restarts >= 3, "several tries")
        assert "truncated" in supervisor.last_error
        assert not supervisor.ready
        path.write_bytes(whole)
        wait_until(lambda: is_ready(shared), "ready again")
        player.play(3)
    finally:
        supervisor.stop()


def test_a_process_that_hangs_before_it_is_ready_is_replaced(shared, model, monkeypatch):
    supervisor = ModelSupervisor(shared, model("echo"), "cpu")
    player = Player(shared, "echo")
    try:
        supervisor.start()
        wait_until(lambda: is_ready(shared), "ready")
        first = supervisor.pid
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: supervisor.pid != first, "a second process")
        second = supervisor.pid
        os.kill(second, signal.SIGSTOP)  # long before torch is loaded
        monkeypatch.setattr(supervision, "START_PATIENCE_S", 0.5)
        wait_until(lambda: supervisor.pid != second, "a third process")
        monkeypatch.setattr(supervision, "START_PATIENCE_S", 60.0)
        wait_until(lambda: is_ready(shared), "ready again")
        player.play(3)
    finally:
        supervisor.stop()


def test_an_interrupted_start_leaves_nothing_that_the_end_of_the_program_would_wait_for(shared):
    supervisor = ModelSupervisor(shared, Path("unused"), "cpu")
    supervisor._command = [sys.executable, "-c", "import time; time.sleep(600)"]  # it prints nothing
    before = set(threading.enumerate())
    earlier = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored where tests run in background

    def interrupt():
        wait_until(lambda: supervisor.pid and set(threading.enumerate()) - before - {us}, "the start")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    us = threading.Thread(target=interrupt)
    us.start()
    with pytest.raises(KeyboardInterrupt):
        supervisor.start()
    us.join()
    signal.signal(signal.SIGINT, earlier)
    for thread in set(threading.enumerate()) - before:
        assert thread.daemon
        assert isinstance(thread, threading.Timer) and thread.finished.is_set(), "it waits for its time"
    pid = supervisor.pid
    supervisor.stop()
    assert not running(pid)


STOPS_WHILE_ANOTHER_COMPILES = """
import threading
from pathlib import Path
from numba.core.compiler_lock import global_compiler_lock
from rtsep.model.supervisor import ModelSupervisor
from rtsep.realtime.mask_exchange import MaskExchange

shared = MaskExchange.create(2, 9)
supervisor = ModelSupervisor(shared, Path("unused"), "cpu")
compiles, stopped = threading.Event(), threading.Event()

def compile():
    with global_compiler_lock:
        compiles.set()
        stopped.wait()

threading.Thread(target=compile, daemon=True).start()
compiles.wait()
supervisor.stop()
stopped.set()
shared.close()
"""


def test_an_interrupted_first_start_does_not_wait_for_what_is_being_compiled(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}  # nothing is compiled yet
    subprocess.run(
        [sys.executable, "-c", STOPS_WHILE_ANOTHER_COMPILES],
        cwd=ROOT, env=environment, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
