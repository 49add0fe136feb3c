"""A program that plays forks: the child ends, and takes nothing of the session along."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from rtsep.errors import UsageError
from rtsep.model import launch
from rtsep.session.api import Session
from rtsep.surfaces.remote.place import claim, playing
from tests.cli.program import python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")


def in_a_fork(check: Callable[[], None]) -> bool:
    """Return whether `check` passes in a fork of this process."""
    if (child := os.fork()) == 0:
        code = 1
        try:
            check()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_fork_cannot_use_the_session_and_leaves_it_as_it_is() -> None:
    told: list[object] = []
    session = Session("demo", out_device="virtual")
    session._owner = SimpleNamespace(  # type: ignore[assignment]
        now="playing", failure=None, inbox=SimpleNamespace(send=told.append)
    )

    def check() -> None:
        session.close()
        with pytest.raises(UsageError, match="a fork"):
            session.stats()
        with pytest.raises(UsageError, match="a fork"):
            session.end()
        assert not told

    assert in_a_fork(check)
    session.end()
    assert len(told) == 1


def test_a_fork_leaves_the_name_of_the_session_and_what_was_prepared() -> None:
    taken = claim("forked")
    launch._prepared = SimpleNamespace(kill=None)  # type: ignore[assignment]

    def check() -> None:
        launch._dismiss()
        taken.close()

    try:
        assert in_a_fork(check)
        assert "forked" in playing()
    finally:
        launch._prepared = None
        taken.close()
    assert "forked" not in playing()


PROGRAM = """
import json, os, sys, time
import rtsep

def until(there):
    over = time.monotonic() + 60
    while not there() and time.monotonic() < over:
        time.sleep(0.02)

session = rtsep.Session("demo", out_device="virtual", model=sys.argv[1]).start()
child = os.fork()
if child == 0:
    sys.exit(3)
codes = []
def ended():
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        codes.append(os.waitstatus_to_exitcode(status))
    return pid
until(ended)
hops = session.stats()["hops"]
until(lambda: session.stats()["hops"] > hops + 200)
found = session.stats()
print(json.dumps({"codes": codes, "hops": found["hops"] - hops, "model": found["model"]}))
session.close()
"""


def test_the_end_of_a_fork_ends_neither_the_model_nor_the_sound(half: object) -> None:
    found = json.loads(python("-c", PROGRAM, str(half)))
    assert found["codes"] == [3] and found["hops"] > 200
    assert found["model"]["ready"] and found["model"]["restarts"] == 0
