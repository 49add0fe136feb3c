"""Processes of the scores: a killed one costs no result, and Ctrl-C ends only those that work."""

import os
import signal
from pathlib import Path

import pytest

from train.score import evaluate, measuring
from train.score.processes import open_workers


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def _begin():
    pass


def _fail_at_three(item):
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item, os.getpid()


def test_a_killed_process_leaves_the_rest_to_this_one(capfd):
    here = os.getpid()
    with open_workers(1, _begin, ()) as pool:
        results = list(pool.map(_fail_at_three, lambda item: (item, here), range(6)))
        assert [item for item, _ in results] == list(range(6))
        assert [place == here for _, place in results] == [False, False, False, True, True, True]
        (line,) = capfd.readouterr().err.splitlines()
        assert "killed" in line and "--workers 1" in line
        assert list(pool.map(_fail_at_three, str, [3, 4])) == ["3", "4"]  # the pool is not asked again


def test_an_error_of_the_work_passes_through():
    with open_workers(1, _begin, ()) as pool, pytest.raises(ZeroDivisionError):
        list(pool.map((1).__floordiv__, lambda _: pytest.fail("the pool is alive"), [1, 0]))


def test_workers_have_one_thread_and_this_process_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with open_workers(1, _begin, ()) as pool:
        assert list(pool.map(os.getenv, str, ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])) == ["1", "1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"


class Working:
    """A scorer that Ctrl-C interrupts at its work."""

    def score(self, _path):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()


def test_ctrl_c_ends_the_work_of_a_process_and_not_its_waiting(monkeypatch):
    for module, start, work in (
        (evaluate, lambda: evaluate._start_worker(None), lambda: evaluate._score_in_worker(Path())),
        (measuring, lambda: measuring.start_process(None, None, ""),
         lambda: measuring._in_process(Working.score, None)),
    ):  # fmt: skip
        monkeypatch.setattr(module, "_in_worker", [])
        monkeypatch.setattr(evaluate, "Scorer", lambda _: Working())
        monkeypatch.setattr(measuring.Worker, "start", lambda *_: Working())
        start()
        os.kill(os.getpid(), signal.SIGINT)  # ignored
        with pytest.raises(KeyboardInterrupt):
            work()
        os.kill(os.getpid(), signal.SIGINT)
