"""Makes the picture of an Ardour session with the plugin: a real window on a screen of its own.

    python -m tests.plugin.picture docs/screens/ardour.png

Needs Ardour 7, Xvfb, xdotool and ImageMagick (apt-get install ardour xvfb xdotool imagemagick). The places of
Ardour's buttons are those of Ardour 7.3 on a screen of this size.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile
import soxr

from rtsep.plugin import bundle, layout
from rtsep.realtime.child_process import command_of
from tests.e2e.ardour_plugin import MAIN, RATE, Session
from tests.waiting import until

DISPLAY, SCREEN = ":97", "1356x716"
PATIENCE_S = 240.0
CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<Ardour>
  <Config>
    <Option name="try-autostart-engine" value="1"/>
    <Option name="discover-plugins-on-start" value="0"/>
    <Option name="hide-dummy-backend" value="0"/>
  </Config>
</Ardour>
"""
BACK_ENDS, DUMMY, START = (287, 50), (269, 94), (499, 352)  # in the window "Audio/MIDI Setup"
BUS, PLUGIN = (70, 412), (60, 190)  # in the editor
PLUGIN_AT = (430, 250)


def song() -> np.ndarray:
    """Return the demo song, float32 [2, frames] at RATE."""
    with resources.as_file(resources.files("rtsep") / "assets" / "demo.opus") as path:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(np.broadcast_to(soxr.resample(sound, rate, RATE).T, (2, len(sound))))


def make_session(folder: Path) -> Path:
    """Make a session with the plugin on a bus; return the folder that is home to Ardour."""
    bundle.RATES = (RATE,)
    made = bundle.install(folder / "made", command_of("rtsep.cli.main"))
    session = Session(folder, made)
    session.make(song(), MAIN)
    described = folder / "session" / "session.ardour"
    lines = described.read_text().splitlines(keepends=True)
    described.write_text("".join(line for line in lines if "<EngineHints" not in line))
    config = folder / "home" / ".config" / "ardour7"
    (config / ".a7").touch()  # no first steps
    (config / "config").write_text(CONFIG)
    return folder / "home"


class Windows:
    """The windows on the screen, and the mouse."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def tool(self, *words: object) -> str:
        """Run xdotool; return what it prints."""
        return subprocess.run(
            ["xdotool", *map(str, words)], env=self._environment, capture_output=True, text=True
        ).stdout

    def named(self, name: str) -> str:
        """Wait for a window of this name; return its number."""
        found = until(lambda: self.tool("search", "--onlyvisible", "--name", name).split(), name, PATIENCE_S)
        time.sleep(2)  # until it is drawn
        return str(found[0])

    def click(self, window: str, place: tuple[int, int], times: int = 1) -> None:
        """Click at a place of a window."""
        self.tool("mousemove", "--window", window, *place, "click", "--repeat", times, "--delay", 80, 1)
        time.sleep(2)


def engine_plays(host: int) -> bool:
    """Return whether an engine plays behind the process `host`, which shares memory with it."""
    for link in Path(f"/proc/{host}/fd").iterdir():
        if str(link.readlink()).startswith("/memfd:rtsep-plugin"):
            with link.open("rb") as file:
                slots = np.frombuffer(file.read(8 * layout.SLOT_COUNT), np.int64)
            return bool(slots[layout.SLOT_STATE] == layout.STATE_READY)
    return False


@contextmanager
def running(*words: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program meanwhile."""
    process = subprocess.Popen(
        words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def take(picture: Path, folder: Path) -> None:
    """Open the session, open the plugin, play, and write the picture."""
    home = make_session(folder)
    environment = os.environ | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "LV2_PATH": f"{folder / 'lv2'}:/usr/lib/lv2",
        "DISPLAY": DISPLAY,
    }
    windows = Windows(environment)
    with (
        running("Xvfb", DISPLAY, "-screen", "0", f"{SCREEN}x24", environment=environment),
        running("ardour", "--no-splash", "--no-announcements", str(folder / "session"), "session",
                environment=environment) as ardour,
    ):  # fmt: skip
        setup = windows.named("Audio/MIDI Setup")
        for place in (BACK_ENDS, DUMMY, START):
            windows.click(setup, place)
        editor = windows.named("session - Ardour")
        windows.tool("windowfocus", editor)
        windows.click(editor, BUS)
        windows.tool("key", "shift+e")  # the strip of the bus
        time.sleep(5)
        windows.click(editor, PLUGIN, times=2)
        plugin = windows.named("rtsep")
        windows.tool("windowmove", plugin, *PLUGIN_AT)
        windows.tool("windowfocus", editor)
        windows.tool("mousemove", 700, 640)
        until(lambda: engine_plays(ardour.pid), "the engine should play", PATIENCE_S)
        windows.tool("key", "space")
        time.sleep(8)
        subprocess.run(
            ["import", "-window", "root", "+dither", "-colors", "48", f"PNG8:{picture.absolute()}"],
            env=environment, check=True,
        )  # fmt: skip


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="rtsep-picture-") as place:
        take(Path(sys.argv[1]), Path(place))
