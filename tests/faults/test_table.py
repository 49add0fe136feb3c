"""Each fault of the table happens to a session that plays, and is asked the same four questions."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.faults import rig as stages
from tests.faults.rig import TAKES, FaultRig, Mark
from tests.faults.table import FAULTS, Fault

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for what is left in /proc")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_sound_goes_on_it_is_told_comes_back_and_leaves_nothing(rig: FaultRig, fault: Fault) -> None:
    rig.put_to(fault.happens, fault.counted, fault.said, fault.dry, fault.new_stream)


# --- the harness itself: it fails where a question is answered wrongly -------------------------------------


@contextlib.contextmanager
def a_wrong_frame(rig: FaultRig, before: Mark) -> Iterator[None]:
    before.stream.given[before.frame + 10, 0] += 0.01
    yield


@contextlib.contextmanager
def an_uncounted_gap(rig: FaultRig, before: Mark) -> Iterator[None]:
    before.stream.given[before.frame + 10 : before.frame + 20] = 0
    yield


@contextlib.contextmanager
def a_line(rig: FaultRig, before: Mark) -> Iterator[None]:
    rig.said.append("nobody has asked for this")
    yield


@contextlib.contextmanager
def a_thread(rig: FaultRig, before: Mark) -> Iterator[None]:
    ends = threading.Event()
    thread = threading.Thread(target=ends.wait)
    thread.start()
    yield
    ends.set()
    thread.join()


@contextlib.contextmanager
def a_handle(rig: FaultRig, before: Mark) -> Iterator[None]:
    handle = os.open(os.devnull, os.O_RDONLY)
    yield
    os.close(handle)


@pytest.mark.parametrize(
    ("wrong", "expected", "complaint"),
    [
        (a_wrong_frame, {}, "^1 of .* frames are wrong"),
        (an_uncounted_gap, {}, "silent frames, .* counted"),
        (a_line, {}, "nothing else should have been said"),
        (a_thread, {}, "left behind: threads"),
        (a_handle, {}, "left behind: handles"),
        (None, {"counted": ["model.restarts"]}, "model.restarts has not grown"),
        (None, {"said": ["^gone$"]}, "should have been said"),
        (None, {"dry": True}, "the dry sound should have been audible"),
        (None, {"new_stream": True}, "0 streams were opened"),
    ],
)
def test_each_question_can_be_answered_wrongly(
    rig: FaultRig,
    monkeypatch: pytest.MonkeyPatch,
    wrong: Callable[[FaultRig, Mark], contextlib.AbstractContextManager[None]] | None,
    expected: dict[str, object],
    complaint: str,
) -> None:
    monkeypatch.setattr(stages, "LEAVING_S", 0.1)
    asked = {"counted": (), "said": (), "dry": False, "new_stream": False} | expected
    for take in range(TAKES):
        before = rig.mark()
        rig.play_for(0.1)
        try:
            with wrong(rig, before) if wrong else contextlib.nullcontext():
                with pytest.raises(AssertionError, match=complaint):
                    rig.ask(before, **asked)
                return
        except (AssertionError, pytest.fail.Exception):  # a busy machine has made another fault beside it
            if take == TAKES - 1:
                raise
