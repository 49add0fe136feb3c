"""The plugin with its engine process: what it separates, and what happens when the process does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rtsep.offline.separator import Separator
from tests.models import make_model
from tests.plugin.conftest import needs_a_compiler
from tests.plugin.lv2host import PLAYS, REFUSED, Host
from tests.plugin.processes import descendants
from tests.waiting import running, until

pytestmark = [needs_a_compiler, pytest.mark.model_process]

RATE, BLOCK = 48000, 512
SUM_TOLERANCE = 1e-6


def noise(seconds: float, seed: int = 1) -> np.ndarray:
    frames = round(seconds * RATE)
    return (0.2 * np.random.default_rng(seed).standard_normal((2, frames))).astype(np.float32)


def play_in_time(host: Host, sound: np.ndarray) -> np.ndarray:
    """Play at the pace of a sound card."""
    began, calls = time.monotonic(), 0

    def pause() -> None:
        nonlocal calls
        calls += 1
        time.sleep(max(0.0, began + calls * BLOCK / RATE - time.monotonic()))

    return host.play(sound, between=pause)


def rendered(host: Host, sound: np.ndarray, blocks: list[int]) -> np.ndarray:
    """Render `sound` to its end; return [6, frames] in time with it."""
    whole = np.concatenate([sound, np.zeros((2, host.latency), np.float32)], axis=1)
    host.free_wheel = True
    out = host.play(whole, blocks)
    host.free_wheel = False
    return out[:, host.latency :]


def until_separated(host: Host) -> None:
    """Play until the engine's sound is what comes out: the instrumental is then not silent any more."""
    sound = noise(0.1)
    until(
        lambda: play_in_time(host, sound)[4:6, -BLOCK:].any(), f"the engine should be back; {host.log}", 120
    )


def test_a_render_equals_a_file_and_an_engine_that_was_stopped_or_killed_comes_back(
    make_bundle, start_host, counting_model
):
    """One story, as an engine takes seconds to start: a render at once, a live part, faults, a render."""
    sound = noise(1.5)
    host = start_host(make_bundle(counting_model))
    host.call(np.zeros((2, 300), np.float32))
    blocks = [int(n) for n in np.random.default_rng(5).integers(1, 3000, 500)]
    first = rendered(host, sound, blocks)  # waits for the start of the engine
    stems = Separator(counting_model, RATE, 2).separate(sound)
    np.testing.assert_array_equal(first[2:4], stems.vocals)
    np.testing.assert_array_equal(first[4:6], stems.instrumental)
    np.testing.assert_allclose(first[0:2], sound, atol=SUM_TOLERANCE)
    assert host.engine == PLAYS

    until_separated(host)
    engine = only_engine()
    os.kill(engine, signal.SIGSTOP)
    longest = stay_dry(host)
    os.kill(engine, signal.SIGCONT)
    assert longest < 1.0
    assert host.late > 0
    until_separated(host)

    os.kill(engine, signal.SIGKILL)
    stay_dry(host)
    until(lambda: not running(engine), "the engine is killed")
    until_separated(host)
    assert any("has ended" in line for line in host.log)

    played = play_in_time(host, sound)
    together = played[2:4] + played[4:6]
    np.testing.assert_allclose(together[:, host.latency :], sound[:, : -host.latency], atol=SUM_TOLERANCE)

    second = rendered(host, sound, [])
    np.testing.assert_array_equal(second[2:4], stems.vocals)


def only_engine() -> int:
    """Return the process id of the engine: it is our child; the model is its."""
    own = descendants(os.getpid())
    found = [pid for pid in own if b"plugin-host" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(found) == 1, found
    return found[0]


def stay_dry(host: Host) -> float:
    """Play while the engine does not: dry at the same delay, after a fade. Return the longest call in s."""
    sound, longest = noise(1.0, seed=7), [0.0]
    began = time.monotonic()
    parts = []
    for calls, start in enumerate(range(0, sound.shape[1] - BLOCK, BLOCK), 1):
        before = time.monotonic()
        parts.append(host.call(sound[:, start : start + BLOCK]))
        longest.append(time.monotonic() - before)
        time.sleep(max(0.0, began + calls * BLOCK / RATE - time.monotonic()))
    played = np.concatenate(parts, axis=1)
    np.testing.assert_allclose(
        played[0:2, host.latency :], sound[:, : played.shape[1] - host.latency], atol=SUM_TOLERANCE
    )
    half = slice(RATE // 4, RATE // 2)  # after what the engine had left
    assert not played[4:6, half].any()
    return max(longest)


def test_a_missing_model_is_said_and_the_dry_signal_passes(make_bundle, start_host, counting_model, tmp_path):
    bundle = make_bundle(counting_model)
    host = start_host(bundle)
    host.restore({"model": "mine", "sha256": "ab" * 32})
    host.until_engine(REFUSED)
    sound = noise(0.2)
    np.testing.assert_array_equal(host.play(sound)[0:2, host.latency :], sound[:, : -host.latency])
    until(lambda: any("the project's model is missing" in line and "'mine'" in line for line in host.log))

    absent = tmp_path / "absent.pt"
    host.choose(str(absent))  # in the host's file chooser
    host.call(sound[:, :BLOCK])
    until(lambda: any("is missing" in line and str(absent) in line for line in host.log))
    host.choose(str(counting_model))
    host.until_engine(PLAYS)
    assert host.save()["model"] == host.told["model_file"] == str(counting_model)


HOST = """
import sys, time
from pathlib import Path
import numpy as np
from tests.plugin.lv2host import Host, PLAYS
host = Host(Path(sys.argv[1]))
host.until_engine(PLAYS)
print("plays", flush=True)
while True:
    host.call(np.zeros((2, 512), np.float32))
    time.sleep(0.01)
"""


@pytest.mark.parametrize(
    "stopped", [False, pytest.param(True, marks=pytest.mark.long)], ids=["engine runs", "engine is stopped"]
)
def test_no_process_outlives_a_host_that_is_killed(make_bundle, counting_model, stopped):
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, str(make_bundle(counting_model))], stdout=subprocess.PIPE, text=True
    )
    assert host.stdout
    try:
        assert host.stdout.readline() == "plays\n"
        processes = until(lambda: len(found := descendants(host.pid)) >= 2 and found)
        if stopped:
            for pid in processes:
                os.kill(pid, signal.SIGSTOP)
    finally:
        host.kill()
        host.wait()
        host.stdout.close()
    until(lambda: not any(running(pid) for pid in processes), "engine and model should end with the host")


@pytest.mark.long
def test_ten_instances_play_and_the_host_is_not_blocked(make_bundle, start_host, tmp_path, record_property):
    """Late frames are counted and play dry, and the stems still add up to the input."""
    bundle = make_bundle(make_model(tmp_path / "half.pt", "half"))
    hosts = [start_host(bundle) for _ in range(10)]
    for host in hosts:
        host.until_engine(PLAYS)
    for host in hosts[:2]:
        until_separated(host)
    sound = noise(2.0)
    for playing in (hosts[:2], hosts):
        late = sum(host.late for host in playing)
        longest, began = 0.0, time.monotonic()
        parts: list[list[np.ndarray]] = [[] for _ in playing]
        for calls, start in enumerate(range(0, sound.shape[1] - BLOCK, BLOCK), 1):
            for host, part in zip(playing, parts, strict=True):
                before = time.monotonic()
                part.append(host.call(sound[:, start : start + BLOCK]))
                longest = max(longest, time.monotonic() - before)
            time.sleep(max(0.0, began + calls * BLOCK / RATE - time.monotonic()))
        for host, part in zip(playing, parts, strict=True):
            played = np.concatenate(part, axis=1)[:, host.latency :]
            together = played[2:4] + played[4:6]
            np.testing.assert_allclose(together, sound[:, : played.shape[1]], atol=SUM_TOLERANCE)
        record_property(f"late frames of {len(playing)}", sum(host.late for host in playing) - late)
        record_property(f"longest call of {len(playing)} in ms", round(1e3 * longest, 2))
        assert longest < 0.5
    assert not any("has ended" in line for host in hosts for line in host.log)
