"""Settings files are replaced whole, or not at all."""

from __future__ import annotations

import os

import pytest

from rtsep.errors import OutputError
from rtsep.surfaces.toml import write_whole


def test_a_name_that_is_not_utf8_leaves_the_file_and_nothing_beside_it(tmp_path):
    file = tmp_path / "rtsep.toml"
    file.write_text("block = 64\n")
    with pytest.raises(OutputError, match="not UTF-8"):
        write_whole(file, "record = '/music/\udcff'\n", "configuration")
    assert file.read_text() == "block = 64\n"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
def test_what_is_no_file_is_not_replaced(tmp_path):
    """Root could replace the null device of the machine by a file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(OutputError, match="not a file"):
            write_whole(tmp_path / name, "block = 64\n", "configuration")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]
    assert (tmp_path / "pipe").is_fifo()
