"""`rtsep live` is ended while it gets ready, on a first start, which compiles for half a minute: at once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.e2e.liveprocess import START_PATIENCE_S, LiveProcess, no_jack
from tests.model.test_supervisor import wait_until
from tests.waiting import running

INTERRUPTED = 130


def descendants(pid: int) -> set[int]:
    """Return the processes that `pid` and its children have begun, and that run."""
    begun = {
        int(word)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for word in path.read_text().split()
    }
    return begun.union(*(descendants(child) for child in begun))


@pytest.mark.long  # 12 s of a core, to compile
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_130_and_reaches_no_later_stage(half_model, tmp_path, how):
    live = LiveProcess(
        "--in", "demo", "--out-device", "virtual", "--model", str(half_model),
        "--record", str(tmp_path / "takes"),
        environment=no_jack() | {"NUMBA_CACHE_DIR": str(tmp_path / "nothing is compiled yet")},
    )  # fmt: skip
    try:
        live.wait_said("preparing", START_PATIENCE_S)
        begun = descendants(live.pid)
        assert begun, "the model process should be there"
        live.send(how)
        live.send(how)  # an impatient hand
        assert live.exit_code() == INTERRUPTED
    finally:
        live.kill()
    assert [line for line in live.said if "preparing" not in line] == ["rtsep: interrupted"]
    assert live.lines == []
    assert not list((tmp_path / "takes").iterdir())
    assert not list(Path("/dev/shm").glob(f"rtsep-{live.pid}-*"))
    wait_until(lambda: not any(map(running, begun)), "the children should have ended")
