"""The bytes of a file in windows: the same as all of them at once, even if the file is cut meanwhile."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from rtsep.files import content
from rtsep.files.content import Content

SYNC = re.compile(rb"\xff[\xf0-\xff]")


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """A file of some windows with many matches, some of which overlap or cross the end of a window."""
    monkeypatch.setattr(content, "_WINDOW", 64)
    monkeypatch.setattr(content, "_AHEAD", 16)
    (tmp_path / "x").write_bytes(bytes(random.Random(1).choices([0xFF, 0xF0, 0], [8, 1, 1], k=1000)))
    return tmp_path / "x"


@pytest.mark.parametrize("size", [0, 1, 48, 63, 64, 65, 112, 1000])
@pytest.mark.parametrize("begin", [0, 7, 64])
def test_matches_and_bytes_are_those_of_the_whole_file(path, size, begin):
    whole = path.read_bytes()[:size]
    with path.open("rb") as file:
        windows = Content(file, size)
        found = list(windows.positions(SYNC, begin))
        assert found == [each.start() for each in SYNC.finditer(whole, begin)]
        for at in [*range(0, 1100, 13), *range(1100, 0, -17)]:
            assert windows.read(at, 20) == whole[at : at + 20]


def test_a_file_that_is_cut_meanwhile_ends_there(path):
    with path.open("rb", buffering=0) as file:
        windows = Content(file, 1000)
        positions = windows.positions(SYNC)
        first = next(positions)
        os.truncate(path, 100)
        assert max([first, *positions]) < 100
        assert len(windows.read(90, 20)) == 10
        assert windows.read(500, 20) == b""
