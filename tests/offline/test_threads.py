"""A host program's setting of torch's threads is its own, whatever separates beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from rtsep.offline.separator import Separator
from tests.models import make_model

pytestmark = pytest.mark.model_process


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


def test_separators_in_threads_leave_torch_as_it_was(two_threads: None, tmp_path: Path) -> None:
    model = make_model(tmp_path / "half.pt", "half")
    sound = np.random.default_rng(3).normal(0, 0.1, (2, 20_000)).astype(np.float32)
    results: list[np.ndarray] = []

    def work() -> None:
        separator = Separator(model)
        results.extend(separator.separate(sound).vocals for _ in range(2))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    during: set[int] = set()
    while any(thread.is_alive() for thread in threads):
        during |= {torch.get_num_threads(), seen_by_a_new_thread()}
    assert len(results) == 4 and all(np.array_equal(each, results[0]) for each in results)
    assert during <= {2} and torch.get_num_threads() == seen_by_a_new_thread() == 2
