"""What a session holds of the sound server, where it cannot be written down."""

from __future__ import annotations

import pytest

from rtsep import folders
from rtsep.errors import OutputError
from rtsep.session.held import Held


def test_without_a_home_nothing_is_left_and_taking_is_refused_by_a_line(monkeypatch):
    monkeypatch.setattr(folders, "state", lambda: folders.NOWHERE)
    held = Held("players")
    assert not held.is_left and held.left is None
    with pytest.raises(OutputError, match=r"players\.lock: cannot be written: there is no home folder"):
        held.take()
