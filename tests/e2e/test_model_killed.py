"""The model process is killed while it plays: the sound goes on, dry, and separated again soon after."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rtsep.audio.hoploop import HOLD_S
from tests.e2e.exact import ATTEMPTS, SUM_TOLERANCE, assert_equal, no_clean_take, noise
from tests.e2e.liveprocess import Line, LiveProcess, faults
from tests.e2e.rig import Rig
from tests.waiting import running, until

if TYPE_CHECKING:  # needs libjack
    from tests.e2e.player_recorder import Take

pytestmark = pytest.mark.jack

HOP = 256
PERIOD = 1024
"""Frames. While another model starts, a crowded machine loses shorter ones, and take after take with them."""

BACK_WITHIN_S = 60.0
"""Hard limit for a loaded machine; the time it took is printed. Quiet, it is to be within 3 s."""

HEAD_S, TAIL_S = 0.2, 0.5
"""A take goes on for so long before the kill, and once a model is back."""


def kill_model(live: LiveProcess) -> float:
    """Kill the model process; return the time until a line reports that another one is ready."""
    line = live.fresh()
    count, pid = len(live.lines), line["model"]["pid"]
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    back = live.wait_line(
        lambda line: line["model"]["restarts"] == 1 and line["model"]["ready"],
        "a model again",
        BACK_WITHIN_S,
        count,
    )
    assert back["model"]["pid"] != pid
    return time.monotonic() - killed


def take_with_a_kill(rig: Rig, played: np.ndarray) -> tuple[Take, float, Line, Line, int]:
    """Play, and kill the model meanwhile: the take, when a model was back, lines around, what was lost."""
    before = rig.live.fresh()
    took: list[float] = []
    over: list[int] = []

    def kill() -> None:
        try:
            took.append(kill_model(rig.live))
        finally:
            over.append(rig.player_recorder.recorded + round(TAIL_S * rig.server.rate))

    killer = threading.Thread(target=kill)

    def enough() -> bool:
        if killer.ident is None and rig.player_recorder.recorded >= round(HEAD_S * rig.server.rate):
            killer.start()
        return bool(over) and rig.player_recorder.recorded >= over[0]

    take = rig.player_recorder.take(played, 0, enough)
    if killer.ident is not None:
        killer.join()
    after = rig.live.fresh()
    assert took or not take.clean, "no model came back"
    return take, took[0] if took else math.nan, before, after, faults(after) - faults(before)


def test_the_sound_goes_on_and_the_model_comes_back(start_rig, half_model, record_property):
    tried = []
    for _ in range(ATTEMPTS):
        rig = start_rig("--out", "both", "--model", half_model, period=PERIOD)
        rig.patch()
        played = noise(round((BACK_WITHIN_S + 5) * 44100))
        take, told, before, after, lost = take_with_a_kill(rig, played)
        rig.live.end()
        rig.close()
        if take.clean and lost == 0:
            break
        tried.append(f"{take.xruns} xruns of the server, {lost} of rtsep")
    else:
        no_clean_take(rig.server.period / rig.server.rate, tried)

    vocals, instrumental = take.sound[:, :2], take.sound[:, 2:]
    expected = rig.expected(played, take)
    assert_equal(vocals + instrumental, expected, SUM_TOLERANCE, "vocals + instrumental")
    assert after["late_masks"] > before["late_masks"]
    assert after["model"]["restarts"] == 1

    # Half and half while a mask serves; then everything on the vocals' feed; then half and half again.
    share = share_of_instrumental(instrumental, expected)
    assert abs(share[20] - 0.5) < 1e-3
    assert abs(share[-20] - 0.5) < 1e-3
    (dry,) = np.nonzero(share[:-10] < 1e-6)
    assert len(dry) > 0, "no dry stretch"
    assert np.all(share[dry[0] : dry[-1] + 1] < 1e-6)  # once dry, dry until masks come
    (fading,) = np.nonzero(np.abs(share[10:-10] - 0.5) > 1e-3)
    assert len(fading) - len(dry) <= 6  # two hops in, two hops out, seen in blocks of one
    back_s = (dry[-1] - dry[0]) * HOP / 44100 + HOLD_S
    print(f"\nmodel killed: masks again after {back_s:.2f} s, told after {told:.2f} s (a line a second)")
    record_property("model_back_s", back_s)


def share_of_instrumental(instrumental: np.ndarray, mix: np.ndarray) -> np.ndarray:
    """Return, hop by hop, the level of the instrumental relative to the mix."""
    count = len(mix) // HOP
    level = [np.sqrt(np.mean(x[: count * HOP].reshape(count, -1) ** 2, axis=1)) for x in (instrumental, mix)]
    return np.divide(level[0], level[1], out=np.full(count, 0.5), where=level[1] > 1e-3)


def test_no_model_process_outlives_the_session(start_rig, half_model):
    rig = start_rig("--out", "both", "--model", half_model)
    model = rig.live.fresh()["model"]["pid"]
    rig.live.kill()
    until(lambda: not running(model), "the model process is still there")
