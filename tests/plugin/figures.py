"""Measures the plugin with the model `light`: many instances in one host, and jalv at 64 frames under load.

    python -m tests.plugin.figures

Takes some three minutes. Needs a C compiler, LV2's headers, jackd and jalv. docs/plugin.md has its table.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rtsep.bench.torture import LOADS, Torture
from rtsep.plugin import bundle
from rtsep.realtime.child_process import command_of
from tests.e2e.ardour import Player
from tests.e2e.jackserver import JackServer
from tests.plugin.jalv import Jalv
from tests.plugin.lv2host import PLAYS, Host

RATE, BLOCK, PERIOD = 48000, 512, 64
INSTANCES, MODEL = 10, "light"  # ten of `live` need more than two cores
SETTLE_S, PLAY_S, JALV_S = 3.0, 10.0, 20.0


def play(hosts: Sequence[Host], playing: int, seconds: float) -> tuple[int, float]:
    """Call all at the pace of a sound card; noise for the first ones, silence for the others.

    Returns how many frames of the first ones were late, and the longest call in ms.
    """
    noise = np.random.default_rng(1)
    silence = np.zeros((2, BLOCK), np.float32)
    late = sum(host.late for host in hosts[:playing])
    longest, began = 0.0, time.monotonic()
    for calls in range(1, round(seconds * RATE / BLOCK)):
        sound = (0.2 * noise.standard_normal((2, BLOCK))).astype(np.float32)
        for number, host in enumerate(hosts):
            before = time.monotonic()
            host.call(sound if number < playing else silence)
            longest = max(longest, time.monotonic() - before)
        time.sleep(max(0.0, began + calls * BLOCK / RATE - time.monotonic()))
    return sum(host.late for host in hosts[:playing]) - late, 1e3 * longest


def measure_instances(made: Path) -> None:
    """Print a row each for two and for ten instances that play."""
    hosts = [Host(made, RATE, BLOCK) for _ in range(INSTANCES)]
    try:
        for host in hosts:
            host.until_engine(PLAYS)
        play(hosts, 0, 12.0)  # those without sound fall asleep
        for playing in (2, INSTANCES):
            play(hosts, playing, SETTLE_S)
            late, longest = play(hosts, playing, PLAY_S)
            share = late / (playing * PLAY_S * RATE)
            print(f"| {INSTANCES} loaded, {playing} playing, {PLAY_S:g} s in calls of {BLOCK} frames "
                  f"| {late} ({share:.2%}) | longest call {longest:.1f} ms |", flush=True)  # fmt: skip
        ended = [line for host in hosts for line in host.log if "has ended" in line]
        print(f"engines that ended: {len(ended)}")
    finally:
        for host in hosts:
            host.close()


def measure_jalv(made: Path) -> None:
    """Print a row each for jalv in peace and under the loads of `rtsep bench stress`."""
    server = JackServer(rate=RATE, period=PERIOD)
    jalv = Jalv(server, made)
    try:
        jalv.until("engine", PLAYS)
        player = Player(server)
        for k, side in enumerate("lr"):
            player.client.connect(f"player:send_{k}", f"plugin:in_{side}")
        xruns = [0]
        watcher = server.client("watcher")
        watcher.set_xrun_callback(lambda _: xruns.__setitem__(0, xruns[0] + 1))
        watcher.activate()
        for loads in ((), tuple(LOADS)):
            with Torture(loads):
                time.sleep(SETTLE_S)
                jalv.ask()
                late, before = jalv.values["late"], xruns[0]
                time.sleep(JALV_S)
                jalv.ask()
                now = jalv.values["late"]
            what = f"under the loads {', '.join(loads)}" if loads else "in peace"
            share = (now - late) / (JALV_S * RATE)
            print(f"| jalv at {PERIOD} frames, {what}, {JALV_S:g} s | {now - late:.0f} ({share:.2%}) "
                  f"| {xruns[0] - before} xruns of JACK |", flush=True)  # fmt: skip
        watcher.close()
        player.close()
    finally:
        jalv.close()
        server.remove()


def main() -> None:
    """Build the plugin for RATE, then measure."""
    bundle.RATES = (RATE,)
    with tempfile.TemporaryDirectory(prefix="rtsep-figures-") as place:
        made = bundle.install(Path(place), command_of("rtsep.cli.main"), MODEL)
        print("| what | late frames | |\n| --- | --- | --- |")
        measure_instances(made)
        measure_jalv(made)


if __name__ == "__main__":
    main()
