"""Effect of ten pages on the sound: late masks and losses with them and without, interleaved.

    python -m tests.e2e.ten_pages --seconds 60 --rounds 3

Plays the demo song on the virtual device, or on a private JACK server with --jack; --loads adds the loads of
`rtsep bench stress`. The figures are valid only if the machine runs nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from rtsep.bench.torture import LOADS, Torture
from rtsep.files.demo import demo_song
from tests.e2e.liveprocess import LiveProcess, no_jack

PAGES = 10
COUNTED = ("late_masks", "underruns", "overruns", "device_xruns")


def main() -> int:
    """Measure, and print a line for each stretch and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jack", action="store_true")
    parser.add_argument("--loads", default="", help="loads of bench stress beside it, by commas, or 'all'")
    parser.add_argument("--look-at", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.look_at:
        return look(arguments.look_at)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sound, rate = soundfile.read(demo_song(), dtype="float32")
        needed = 60 + 2.2 * arguments.rounds * arguments.seconds
        soundfile.write(folder / "song.wav", np.tile(sound, (int(needed * rate / len(sound)) + 1, 1)), rate)
        where, environment = ["--out-device", "virtual"], no_jack()
        if arguments.jack:
            from tests.e2e.jackserver import JackServer

            where, environment = [], stack.enter_context(JackServer(rate=48000, period=256)).environment
        live = LiveProcess(
            "--in", str(folder / "song.wav"), *where, "--page", "local", environment=environment
        )
        stack.callback(live.kill)
        live.playing()
        address = live.wait_said("page: http").rpartition(" ")[2]
        sums: dict[bool, dict[str, int]] = {
            with_pages: dict.fromkeys(COUNTED, 0) for with_pages in (False, True)
        }
        names = tuple(LOADS) if arguments.loads == "all" else tuple(filter(None, arguments.loads.split(",")))
        stack.enter_context(Torture(names))
        time.sleep(3)  # the start is over
        for _ in range(arguments.rounds):
            for with_pages in (False, True):
                with pages(address) if with_pages else contextlib.nullcontext() as found:
                    before = live.fresh()
                    time.sleep(arguments.seconds)
                    counted = {name: live.fresh()[name] - before[name] for name in COUNTED}
                for name, count in counted.items():
                    sums[with_pages][name] += count
                print(json.dumps({"pages": PAGES if with_pages else 0, **counted}), flush=True)
                if found:
                    print(json.dumps({"frames_per_s": found}), flush=True)
        for with_pages, counted in sums.items():
            print(json.dumps({"in all, pages": PAGES if with_pages else 0, **counted}))
    return 0


@contextlib.contextmanager
def pages(address: str) -> Iterator[list[float]]:
    """Let pages look on, in a process of their own; in the end the list has the frames per second of each."""
    command = [sys.executable, "-m", "tests.e2e.ten_pages", "--look-at", address]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    found: list[float] = []
    try:
        assert process.stdout.readline() == "all look\n"
        yield found
    finally:
        process.stdin.close()
        with contextlib.suppress(ValueError):
            found += json.loads(process.stdout.read() or "[]")
        process.wait()


def look(address: str) -> int:
    """Look on until standard input ends; print how many frames a second each page has had."""
    from websockets.sync.client import connect

    start, _, key = address.partition("/#")
    frames = [0] * PAGES
    leaving = threading.Event()
    there = threading.Barrier(PAGES + 1)

    def one(number: int) -> None:
        host = start.removeprefix("http://")
        with connect(f"ws://{host}/session?key={key}", origin=start) as socket:  # type: ignore[arg-type]
            there.wait()
            while not leaving.is_set():
                message: dict[str, Any] = json.loads(socket.recv())
                if message["kind"] == "state":
                    socket.send('{"kind": "seen"}')
                    frames[number] += 1

    threads = [threading.Thread(target=one, args=(number,)) for number in range(PAGES)]
    for thread in threads:
        thread.start()
    there.wait()
    began = time.monotonic()
    print("all look", flush=True)
    sys.stdin.read()
    leaving.set()
    seconds = time.monotonic() - began
    for thread in threads:
        thread.join()
    print(json.dumps([round(count / seconds, 1) for count in frames]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
