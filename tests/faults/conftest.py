"""The rig of the faults: one session for all rows, because a model takes seconds to start."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.box import Box
from tests.faults.rig import FaultRig, nothing_more_than
from tests.models import make_model


@pytest.fixture(scope="session")
def half_model(model_folder: Path) -> Path:
    """A model that gives half of everything to the voice."""
    return make_model(model_folder / "half of the faults.rtsep", "half")


@pytest.fixture(scope="module")
def rig(half_model: Path) -> Iterator[FaultRig]:
    """A session that plays on a box. In the end, nothing of it is left once the program has forgotten it."""
    with pytest.MonkeyPatch.context() as patch:
        box = Box()
        box.put_in(patch)
        with FaultRig(box, half_model) as rig:
            yield rig
        before = rig.leftovers_before
        del rig.session
        box.streams.clear()
        gc.collect()
        assert not (left := nothing_more_than(before)), f"left behind: {left}"
