"""A host program's setting of torch's threads is its own, whatever separates beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from rtsep.model import torch_threads
from rtsep.model.torch_threads import one_here
from rtsep.offline.separator import Separator
from tests.models import make_model


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def seen_by_a_new_thread() -> int:
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return seen[0]


def test_a_thread_of_its_own_has_one_and_all_others_keep_theirs(two_threads: None) -> None:
    within, leave = threading.Event(), threading.Event()
    counts: list[int] = []

    def work() -> None:
        with one_here():
            counts.append(torch.get_num_threads())
            within.set()
            leave.wait(60.0)
        counts.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    assert within.wait(60.0)
    counts += [torch.get_num_threads(), seen_by_a_new_thread()]
    leave.set()
    thread.join()
    assert counts == [1, 2, 2, 2]


def test_separators_in_threads_leave_torch_as_it_was(two_threads: None, tmp_path: Path) -> None:
    model = make_model(tmp_path / "half.pt", "half")
    sound = np.random.default_rng(3).normal(0, 0.1, (2, 20_000)).astype(np.float32)
    expected = Separator(model).separate(sound).vocals
    results: list[bool] = []

    def work() -> None:
        for _ in range(3):
            results.append(np.array_equal(Separator(model).separate(sound).vocals, expected))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    during: set[int] = set()
    while any(thread.is_alive() for thread in threads):
        during |= {torch.get_num_threads(), seen_by_a_new_thread()}
    assert results == [True] * 9
    assert during <= {2} and torch.get_num_threads() == seen_by_a_new_thread() == 2


def test_where_torch_has_other_threads_than_openmps_its_own_setting_is_restored(
    two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_threads, "_openmp", lambda: None)
    with one_here():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
