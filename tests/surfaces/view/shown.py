"""A program for the tests of `show`: a scripted session in a real terminal, controlled by the test."""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from pathlib import Path

from rtsep.errors import DeviceError
from rtsep.surfaces.view.lines import Lines, can_show
from rtsep.surfaces.view.show import show
from tests.surfaces.view.scripted import ScriptedPlayer

STEP_S = 0.02


def main(how: str, seconds: float, tell: Path | None) -> None:
    """`until-quit`, `over` (after `seconds`), `fails` (`DeviceError`), `broken` (until Ctrl-C, undrawn).

    With `tell`, the `seconds` begin with Ctrl-C. Once it is over, how long it has played since, how long it
    was to, and the time of a processor that it took meanwhile are written there, in seconds.
    """
    assert can_show()
    player, notify = ScriptedPlayer(3.0), Lines()
    notify("before")
    leaving, seen, over = threading.Event(), threading.Event(), threading.Event()
    failures: list[DeviceError] = []
    player.end = leaving.set  # type: ignore[method-assign]
    if how == "broken":
        player.newest = lambda: 1 / 0  # type: ignore[assignment,method-assign,return-value]
        signal.signal(signal.SIGINT, lambda *_: leaving.set())
    began, busy, played_s = time.monotonic(), 0.0, 0.0

    def begin(*_: object) -> None:
        nonlocal began, busy
        began, busy = time.monotonic(), time.process_time()

    if tell:
        began = float("inf")
        signal.signal(signal.SIGINT, begin)

    def run() -> None:
        seen.wait()
        try:
            play()
        except DeviceError as error:
            failures.append(error)
        over.set()

    def is_over(timeout: float | None = 0.0) -> bool:
        seen.set()  # the view has the terminal
        return over.wait(timeout)

    def play() -> None:
        nonlocal played_s
        os.write(2, b"ALSA lib pcm.c: underrun occurred\n")
        notify("the device has gone")
        while not leaving.wait(STEP_S):
            player.advance(STEP_S)
            played_s = time.monotonic() - began
            if how in ("over", "fails") and played_s > seconds:
                break
        if how == "fails":
            raise DeviceError("the device is not coming back")

    try:
        player.over = is_over  # type: ignore[method-assign]
        threading.Thread(target=run, daemon=True).start()
        show(player, notify)
        for error in failures:
            print(f"failed: {error}")
    finally:
        player.close()
    if tell:
        tell.write_text(f"{played_s} {seconds} {time.process_time() - busy}")
    print(f"threshold {player.controls.threshold:.2f} by {player.controls.moved_by('threshold')}; summary")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("how")
    parser.add_argument("--seconds", type=float, default=0.8)
    parser.add_argument("--tell", type=Path)
    arguments = parser.parse_args()
    main(arguments.how, arguments.seconds, arguments.tell)
