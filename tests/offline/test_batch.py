"""Several processes: what the machine does not let start, and what a thread does not expect."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtsep.errors import ModelError, ModelProcessError
from rtsep.model.catalog import DEFAULT_MODEL, find_model
from rtsep.model.package import read_package
from rtsep.model.remote import RemoteRunner
from rtsep.offline import batch
from rtsep.offline.batch import separate_beside, separate_here
from rtsep.offline.jobs import Done, How, Job
from tests.models import make_model
from tests.waiting import until

HOW = How(model=Path("model.pt"), sha256="0")
JOBS = [Job(Path(f"{n}.wav"), Path("out")) for n in range(4)]


def serve(pipe: Connection, _: How) -> None:
    """Answer each job at once, without a model."""
    while True:
        try:
            pipe.send(Done(pipe.recv()))
        except EOFError:
            return


def serve_and_end_together(pipe: Connection, how: How) -> None:
    """Answer each job; end after SIGTERM as soon as all three processes have received it."""

    def end(*_: object) -> None:
        (how.model / f"{os.getpid()}.begun").touch()
        until(lambda: len(list(how.model.glob("*.begun"))) == 3, patience_s=batch.TERM_S)
        (how.model / f"{os.getpid()}.ended").touch()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    serve(pipe, how)


def separated(progress=lambda job: lambda *_: None, jobs=JOBS, processes=3) -> list[Done]:
    """Return the results of all jobs; fail if they do not end."""
    found: list[Done | Exception] = []

    def run() -> None:
        try:
            found.extend(separate_beside(jobs, HOW, processes, progress))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits for ever"
    for one in found:
        if isinstance(one, Exception):
            raise one
    return found


def handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
def test_each_song_is_refused_if_no_process_can_be_started(monkeypatch, number):
    def refuse(self):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(SpawnProcess, "start", refuse)
    before = handles() if Path("/proc").exists() else 0
    found = separated()
    assert sorted(done.job.source for done in found) == [job.source for job in JOBS]
    for done in found:
        assert done.exit_code == ModelProcessError.exit_code
        assert done.error.startswith(f"{done.job.source}: the process to separate it cannot be started (")
        assert "close some programs" in done.error or "ulimit -n" in done.error
    assert not Path("/proc").exists() or handles() == before


def test_the_processes_that_start_separate_all_songs(monkeypatch):
    start, lock, started = SpawnProcess.start, threading.Lock(), []

    def refuse_the_others(self):
        with lock:
            if started:
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            started.append(self)
            start(self)

    monkeypatch.setattr(SpawnProcess, "start", refuse_the_others)
    monkeypatch.setattr(batch, "_serve", serve)
    found = separated()
    assert sorted((done.job.source, done.error) for done in found) == [(job.source, "") for job in JOBS]
    assert not [process for process in multiprocessing.active_children() if process in started]


def test_a_limit_of_threads_is_one_line(monkeypatch):
    start, worker_threads = threading.Thread.start, []

    def refuse(self):
        if self.name.endswith("(feed)"):
            worker_threads.append(self)
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(ModelProcessError, match="no thread can be started; raise the limit of processes"):
        separated()
    assert len(worker_threads) == 1


def test_a_model_that_another_one_has_replaced_meanwhile_is_refused():
    how = How(find_model(DEFAULT_MODEL), sha256="0" * 64)
    with pytest.raises(ModelError, match="was changed after its check"):
        batch._Loaded(how)()


def test_a_model_that_dies_costs_the_song_that_it_played_only(tmp_path, monkeypatch, model_folder):
    loaded = []

    def load(package, compute):
        loaded.append(RemoteRunner(package, compute, graph=True, real_time=False))
        return loaded[-1]

    def progress(job):
        def kill(*_):
            if job is jobs[1] and loaded[0].alive:
                os.kill(loaded[0].pid, signal.SIGKILL)

        return kill

    monkeypatch.setattr(batch, "load", load)
    package = read_package(make_model(model_folder / "batch-half.pt", "half"))
    how = How(package.path, package.sha256, block=256)
    jobs = [Job(tmp_path / f"{number}.wav", tmp_path / "out" / str(number)) for number in range(4)]
    for job in jobs:
        soundfile.write(job.source, np.zeros((20_000, 2), np.float32), 44100)
    found = list(separate_here(jobs, how, progress))
    assert [bool(done.result) for done in found] == [True, False, True, True]
    assert found[1].error.startswith(f"{jobs[1].source}: ") and "code -9" in found[1].error
    assert found[1].exit_code == ModelProcessError.exit_code and len(loaded) == 2


def test_an_unforeseen_error_of_a_thread_ends_the_run():
    def progress(job):
        raise ZeroDivisionError(job.source)

    with pytest.raises(ZeroDivisionError):
        separated(progress)


@pytest.fixture
def signals(monkeypatch) -> Iterator[None]:
    """The signals as in a new process; `_serve` changes them."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    monkeypatch.setattr(batch.unexpected, "watch", lambda _: None)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Interrupted:
    """Pipe of a process that receives signals."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers
        self.jobs = 0

    def recv(self) -> Job:
        if self._numbers:
            first, *self._numbers = self._numbers
            try:
                signal.raise_signal(first)
            finally:
                for number in self._numbers:
                    signal.raise_signal(number)
        self.jobs += 1
        raise EOFError


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("numbers", [("SIGTERM", "SIGHUP"), ("SIGHUP", "SIGTERM", "SIGHUP"), ("SIGHUP",)])
def test_a_process_is_ended_once_by_the_terminal_and_its_parent(signals, numbers):
    with pytest.raises(SystemExit) as end:
        batch._serve(Interrupted(*(getattr(signal, number) for number in numbers)), HOW)
    assert end.value.__context__ is None  # its clean-up was not interrupted


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_signals_that_arrive_together_end_a_process_without_a_word(signals, monkeypatch):
    both = {signal.SIGTERM, signal.SIGHUP}
    lost: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda given: lost.append(given.exc_value))
    batch._end_once_by_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, both)
    for number in both:
        signal.raise_signal(number)
    with pytest.raises(SystemExit):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
    signal.pthread_sigmask(signal.SIG_BLOCK, ())  # Python handles the other one here
    assert not lost


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_process_under_nohup_goes_on(signals):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    batch._serve(pipe := Interrupted(signal.SIGHUP), HOW)
    assert pipe.jobs == 1


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_all_processes_end_at_one_time(monkeypatch, tmp_path):
    monkeypatch.setattr(batch, "_serve", serve_and_end_together)
    running = separate_beside(JOBS, How(model=tmp_path, sha256="0"), 3, lambda job: lambda *_: None)
    assert [next(running).error for _ in JOBS] == [""] * len(JOBS)
    running.close()
    assert len(list(tmp_path.glob("*.ended"))) == 3


def test_an_answer_that_cannot_be_read_concerns_its_song_only(monkeypatch):
    monkeypatch.setattr(batch, "_serve", serve)

    class Odd(str):
        def __reduce__(self):
            raise TypeError("no data of a job")

    jobs = [Job(Path("odd.wav"), Path("out"), Odd()), JOBS[0]]
    found = {done.job.source: done.error for done in separated(jobs=jobs, processes=1)}
    assert found == {Path("odd.wav"): "odd.wav: TypeError: no data of a job", JOBS[0].source: ""}
