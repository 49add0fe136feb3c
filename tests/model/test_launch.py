"""A model process that starts before its model is known: taken once, or ended with its parent."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from rtsep.errors import ModelProcessError
from rtsep.model import launch
from rtsep.model.messages import TASKS, Serve
from rtsep.model.supervisor import ModelSupervisor
from rtsep.realtime.mask_exchange import MaskExchange
from rtsep.realtime.wire import encode
from tests.model.test_supervisor import PATIENCE_S, ROOT, SPEC, Player, wait_until
from tests.models import make_model
from tests.waiting import running

ECHO = [sys.executable, "-c", "import sys; print(sys.stdin.readline(), end='')"]


@pytest.fixture(autouse=True)
def nothing_prepared() -> Iterator[None]:
    assert launch._prepared is None
    yield
    launch._dismiss()
    launch._prepared = None


@pytest.fixture
def shared() -> Iterator[MaskExchange]:
    shared = MaskExchange.create(SPEC.channels, SPEC.bins)
    yield shared
    shared.close()


def test_what_was_prepared_is_taken_once_and_its_task_reaches_it(monkeypatch):
    monkeypatch.setattr(launch, "COMMAND", ECHO)
    task = Serve("/a folder/model.pt", "quo'te\n\"line\udce4", "süß", "", 1, True, True)
    launch.prepare()
    begun = launch._prepared
    launch.prepare()  # is not done twice
    assert launch._prepared is begun
    process = launch.take(encode(task))
    assert process is begun and launch.take(encode(task)) is None
    assert process.stdout
    assert TASKS.decode(process.stdout.read()) == task
    assert process.wait() == 0
    process.stdout.close()


def test_of_two_threads_one_takes_what_was_prepared(monkeypatch):
    found = []
    other = threading.Thread(target=lambda: found.append(launch.take("two\n")))

    class Stdin(io.BytesIO):
        def write(self, task):
            other.start()
            other.join(0.3)  # it must wait: this one has the process
            return super().write(task)

    monkeypatch.setattr(launch, "_prepared", prepared := SimpleNamespace(stdin=Stdin()))
    assert launch.take("one\n") is prepared
    other.join(PATIENCE_S)
    assert found == [None] and launch._prepared is None


def test_without_preparation_there_is_nothing_to_take():
    assert launch.take("x\n") is None


def test_a_prepared_process_that_died_is_none(monkeypatch):
    monkeypatch.setattr(launch, "COMMAND", [sys.executable, "-c", "raise SystemExit(1)"])
    launch.prepare()
    process = launch._prepared
    assert process
    process.wait()
    assert launch.take("x\n") is None and launch._prepared is None


def test_interrupted_while_it_is_told_it_is_still_ended_with_the_program(monkeypatch):
    monkeypatch.setattr(launch, "COMMAND", ECHO)
    launch.prepare()
    process = launch._prepared
    assert process and process.stdin

    class Interrupted:
        def __enter__(self):
            raise KeyboardInterrupt

        def __exit__(self, *_):
            pass

        close = process.stdin.close

    monkeypatch.setattr(process, "stdin", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        launch.take("x\n")
    launch._dismiss()  # as at exit
    assert not running(process.pid)


def test_a_process_whose_parent_has_ended_meanwhile_ends_without_a_word(tmp_path):
    model = make_model(tmp_path / "echo.pt", "echo", profile="stage")
    task = encode(Serve(str(tmp_path / "gone.slots"), str(model), None, "cpu", 1, True, True))
    command = [*launch.COMMAND, task]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (ModelProcessError.exit_code, "", "")


def test_a_supervisor_takes_what_was_prepared_and_replaces_what_has_died(shared, tmp_path):
    model = make_model(tmp_path / "echo.pt", "echo", profile="stage")
    launch.prepare()
    assert launch._prepared
    prepared = launch._prepared.pid
    supervisor = ModelSupervisor(shared, model, "cpu")
    try:
        supervisor.start()
        assert supervisor.pid == prepared and supervisor.restarts == 0
        assert 0 < supervisor.moments["model imports"] < supervisor.moments["model loaded"]
        wait_until(lambda: supervisor.ready, "ready")
        Player(shared).play(5)
    finally:
        supervisor.stop()
    assert not running(prepared)

    again = MaskExchange.create(SPEC.channels, SPEC.bins)
    launch.prepare()
    assert launch._prepared
    dead = launch._prepared
    dead.kill()
    dead.wait()
    supervisor = ModelSupervisor(again, model, "cpu")
    try:
        supervisor.start()
        assert supervisor.pid != dead.pid and supervisor.restarts == 0
        wait_until(lambda: supervisor.ready, "ready")
        Player(again).play(5)
    finally:
        supervisor.stop()
        again.close()


@pytest.mark.parametrize("end", ["", "raise SystemExit(2)", "os.kill(os.getpid(), 9)"])
def test_what_nobody_takes_ends_with_its_parent(end):
    program = (
        "import os; from rtsep.model import launch; launch.prepare(); "
        f"print(launch._prepared.pid, flush=True); {end}"
    )
    # The prepared process holds our standard error, not our standard output: that one ends with the parent.
    parent = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout)
    assert parent.returncode == {"": 0, "raise SystemExit(2)": 2}.get(end, -signal.SIGKILL)
    wait_until(lambda: not running(pid), "the prepared process leaving after its parent")


def test_a_process_of_ours_gets_large_pages_unless_the_user_says_otherwise(monkeypatch):
    tell = [sys.executable, "-c", "import os; print(os.environ['GLIBC_TUNABLES'])"]
    for given, expected in ((None, launch.HUGE_PAGES), ("glibc.malloc.check=1", "glibc.malloc.check=1")):
        if given:
            monkeypatch.setitem(os.environ, "GLIBC_TUNABLES", given)
        else:
            monkeypatch.delitem(os.environ, "GLIBC_TUNABLES", raising=False)
        process = launch.launch(tell)
        assert process.stdout
        assert process.stdout.read().decode().strip() == expected
        process.wait()
        process.stdout.close()
