"""Processes of the scores: a killed one is one line, and Ctrl-C ends only those that work."""

import os
import signal
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from rtsep.errors import RtsepError
from train.score import evaluate, measuring


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


class Killed:
    """A pool whose process was killed."""

    def __init__(self, *_given):
        pass

    def map(self, *_given):
        raise BrokenProcessPool

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None


def test_a_killed_process_is_one_line_with_the_remedy(monkeypatch):
    pool = Killed()
    monkeypatch.setattr(evaluate, "ProcessPoolExecutor", lambda *_: pool)
    with pytest.raises(RtsepError, match=r"killed.*--workers 1") as caught:
        evaluate._score_all(None, None, [Path("a"), Path("b")], 2)
    assert "\n" not in str(caught.value)


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
