"""OSC at the limit of threads."""

from __future__ import annotations

import contextlib
import socket
from types import SimpleNamespace

from rtsep.surfaces.osc import surface as osc


def test_the_session_is_searched_again_after_a_limit_of_threads(no_threads, monkeypatch):
    searches = []

    @contextlib.contextmanager
    def link(name: str):
        searches.append(name)
        if len(searches) == 2:
            surface._leaving.set()
        yield SimpleNamespace(new_id=lambda: 1, send=lambda request: None)

    monkeypatch.setattr(osc, "Link", link)
    monkeypatch.setattr(osc, "AGAIN_S", 0.01)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        surface = osc.Surface("stage", sock)
        surface._follow()
    assert searches == ["stage", "stage"]
