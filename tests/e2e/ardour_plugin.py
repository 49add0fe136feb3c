"""Ardour without a window and without a sound server: a song on a track, the plugin on a bus, exports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.e2e import ardour

RATE = 48000
_TICKS = 508_032_000 // RATE  # of Ardour's time, a frame
_PATIENCE_S = 240.0
MAIN, VOCALS, INSTRUMENTAL = 0, 2, 4
"""The first of the two outputs of the bus."""

_MAKE = """
AudioEngine:set_backend("None (Dummy)", "", "")
session = create_session("{folder}/session", "session", {rate})
assert(session, "no session")
local last = ARDOUR.PresentationInfo.max_order
local track = session:new_audio_track(2, 2, nil, 1, "track", last, ARDOUR.TrackMode.Normal, true):front()
local bus = session:new_audio_route(2, 2, nil, 1, "bus", ARDOUR.PresentationInfo.Flag.AudioBus, last):front()
for k = 1, {instances} do
  local plugin = ARDOUR.LuaAPI.new_plugin(session, "urn:rtsep:plugin", ARDOUR.PluginType.LV2, "")
  assert(not plugin:isnil(), "no plugin")
  assert(bus:add_processor_by_index(plugin, k - 1, nil, true) == 0, "not added")
end
{automate}
bus:panner_shell():set_bypassed(true)
session:master_out():panner_shell():set_bypassed(true)
track:output():disconnect_all(nil)
bus:output():disconnect_all(nil)
local master = session:master_out()
for k = 0, 1 do
  assert(track:output():audio(k):connect(bus:input():audio(k):name()) == 0)
  assert(bus:output():audio({output} + k):connect(master:input():audio(k):name()) == 0)
end
session:save_state("")
close_session()
quit()
"""

_LOAD = """
AudioEngine:set_backend("None (Dummy)", "", "")
session = load_session("{folder}/session", "session")
assert(session, "no session")
{what}
session:save_state("")
close_session()
quit()
"""

_REGION = (
    '<Region name="song" muted="0" opaque="1" locked="0" automatic="0" whole-file="0" start="a0" '
    'length="a{length}@a0" sync-position="a0" stretch="1" shift="1" layering-index="0" envelope-active="0" '
    'default-fade-in="0" default-fade-out="0" fade-in-active="0" fade-out-active="0" scale-amplitude="1" '
    'type="audio" first-edit="nothing" channels="2" id="910" source-0="900" source-1="901" '
    'master-source-0="900" master-source-1="901"/>'
)
_SOURCE = (
    '<Source name="song.wav" type="audio" flags="" id="90{c}" channel="{c}" origin="" natural-position="a0"/>'
)


class Session:
    """One session on disk. Each step is a run of Ardour, which loads it and saves it."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self._folder, self._bundles = folder, folder / "lv2"
        self._bundles.mkdir()
        self.use(bundle)
        self._environment = os.environ | ardour.make_home(folder / "home")
        self._environment["LV2_PATH"] = f"{self._bundles}:/usr/lib/lv2"
        self.frames = 0

    def use(self, bundle: Path) -> None:
        """Let Ardour load the plugin from this bundle."""
        link = self._bundles / "rtsep.lv2"
        link.unlink(missing_ok=True)
        link.symlink_to(bundle)

    def make(
        self, song: NDArray[np.float32], output: int = VOCALS, instances: int = 1, automate: str = ""
    ) -> None:
        """Put `song` [2, frames] on a track, and `instances` of the plugin on a bus in a row.

        `output` of the bus goes to the master. `automate` is Lua, with the bus as `bus`.
        """
        self._lua(
            _MAKE.format(
                folder=self._folder, rate=RATE, instances=instances, output=output, automate=automate
            )
        )
        self.frames = song.shape[1]
        session = self._folder / "session"
        sounds = next((session / "interchange").iterdir()) / "audiofiles"
        soundfile.write(sounds / "song.wav", song.T, RATE, subtype="FLOAT")
        described = session / "session.ardour"
        text = described.read_text()
        sources = "".join(_SOURCE.format(c=c) for c in (0, 1))
        text = text.replace("<Sources/>", f"<Sources>{sources}</Sources>")
        region = _REGION.format(length=self.frames * _TICKS)
        text, found = re.subn(r'(<Playlist id="\d+" name="track"[^>]*)/>', rf"\1>{region}</Playlist>", text)
        assert found == 1
        described.write_text(text)

    def export(self) -> tuple[NDArray[np.float32], str]:
        """Export all of the song; return [2, frames] and what Ardour has said."""
        said = self.run(ardour.export_lines(self._folder, self.frames))
        sound = ardour.exported(self._folder, RATE, said)
        assert sound.shape == (2, self.frames), said
        return sound, said

    def run(self, what: str) -> str:
        """Load the session, do `what` in Lua, save it; return what Ardour has said."""
        return self._lua(_LOAD.format(folder=self._folder, what=what))

    def saved_states(self) -> list[Path]:
        """Return the files that the plugins have saved, the oldest first."""
        return sorted((self._folder / "session" / "plugins").rglob("state.ttl"), key=os.path.getmtime)

    def _lua(self, text: str) -> str:
        script = self._folder / "script.lua"
        script.write_text(text)
        program = shutil.which(ardour.PROGRAM)
        assert program
        done = subprocess.run(
            [program, str(script)],
            env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_PATIENCE_S,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert "Error:" not in said, said
        return said
