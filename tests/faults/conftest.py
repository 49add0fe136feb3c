"""The stage that faults happen on: one session for all rows, as a start of a model takes seconds."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.box import Box
from tests.faults.stage import Stage, nothing_more_than
from tests.models import make_model


@pytest.fixture(scope="session")
def half_model(model_folder: Path) -> Path:
    """A model that gives half of everything to the voice."""
    return make_model(model_folder / "half of the faults.rtsep", "half")


@pytest.fixture(scope="module")
def stage(half_model: Path) -> Iterator[Stage]:
    """A session that plays on a box. In the end, nothing of it is left once the program has forgotten it."""
    with pytest.MonkeyPatch.context() as patch:
        box = Box()
        box.put_in(patch)
        with Stage(box, half_model) as stage:
            yield stage
        before = stage.leftovers_before
        del stage.session
        box.streams.clear()
        gc.collect()
        assert not (left := nothing_more_than(before)), f"left behind: {left}"
