"""A program for the tests of `show`: a scripted session in a real terminal, that goes as it is told."""

from __future__ import annotations

import os
import sys
import threading
import time

from rtsep.errors import DeviceError
from rtsep.screen.lines import Lines, can_show
from rtsep.screen.show import show
from tests.screen.scripted import ScriptedPlayer

STEP_S = 0.02


def main(how: str) -> None:
    """`until-quit`, `over` (by itself), `fails` (`DeviceError`), `broken` (a view that cannot draw)."""
    assert can_show()
    player, say = ScriptedPlayer(3.0), Lines()
    say("before")
    leaving = threading.Event()
    player.end = leaving.set  # type: ignore[method-assign]
    if how == "broken":
        player.newest = lambda: 1 / 0  # type: ignore[assignment,method-assign,return-value]

    def run() -> None:
        began = time.monotonic()
        os.write(2, b"ALSA lib pcm.c: underrun occurred\n")
        say("the device has gone")
        while not leaving.wait(STEP_S):
            player.advance(STEP_S)
            if how != "until-quit" and time.monotonic() - began > 0.8:
                break
        if how == "fails":
            raise DeviceError("the device is not coming back")

    try:
        show(player, run, say)
    except DeviceError as error:
        print(f"failed: {error}")
    finally:
        player.close()
    print(f"threshold {player.controls.threshold:.2f} by {player.controls.moved_by('threshold')}; summary")


if __name__ == "__main__":
    main(sys.argv[1])
