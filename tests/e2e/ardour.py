"""Ardour without a window: it sends a bus through rtsep's ports and exports what comes back."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.e2e.rig import STEM_PORTS

PROGRAM = "ardour7-lua"
_FORMATS = Path("/usr/share/ardour7/export")
_FORMAT = "BWAV 32float Export.format"
_PRESET = "5f0c2a4e-6d0b-4c39-9b1c-3b0f3a1f7c11"
_PATIENCE_S = 120.0

_PRESET_XML = """<?xml version="1.0" encoding="UTF-8"?>
<ExportPreset id="{preset}" name="float">
  <ExportFormat id="{format}"/>
  <ExportFilename>
    <Folder relative="1" path="export"/>
    <Field name="label" enabled="0"/>
    <Field name="session" enabled="0"/>
    <Field name="snapshot" enabled="0"/>
    <Field name="timespan" enabled="1"/>
    <Field name="revision" enabled="0"/>
    <Field name="time" enabled="0" value="T_None"/>
    <Field name="date" enabled="0" value="D_None"/>
  </ExportFilename>
</ExportPreset>
"""

_SCRIPT = """
AudioEngine:set_backend("JACK", "ardour", "")
session = create_session("{folder}/session", "session", {rate})
assert(session, "no session")
local kind, last = ARDOUR.PresentationInfo.Flag.AudioBus, ARDOUR.PresentationInfo.max_order
local send = session:new_audio_route(2, 2, nil, 1, "send", kind, last):front()
local back = session:new_audio_route(2, 2, nil, 1, "back", kind, last):front()
send:input():disconnect_all(nil)
send:output():disconnect_all(nil)
back:input():disconnect_all(nil)
local function connect(port, name)
  assert(port:connect(name) == 0, name)
end
local stems = {{{stems}}}
for k = 0, 1 do
  connect(send:input():nth(k), "{player}:send_" .. k)
  connect(send:output():nth(k), "rtsep:in_" .. k)
  connect(back:input():nth(k), "rtsep:" .. stems[k + 1])
  connect(back:input():nth(k), "rtsep:" .. stems[k + 3])
end
{export}
session:save_state("")
close_session()
quit()
"""

_EXPORT = """
local export = session:simple_export()
export:set_name("export")
export:set_folder("{folder}/")
export:set_range(0, {frames})
assert(export:set_preset("{preset}"), "no preset")
assert(export:run_export(), "no export")
"""


def make_home(folder: Path) -> dict[str, str]:
    """Make a home for Ardour in `folder`, with a preset for exports; return the variables that name it."""
    presets = folder / ".config" / "ardour7" / "export"
    presets.mkdir(parents=True)
    known = (_FORMATS / _FORMAT).read_text().split('id="', 1)[1].split('"', 1)[0]
    (presets / "test.preset").write_text(_PRESET_XML.format(preset=_PRESET, format=known))
    return {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / ".config")}


def export_lines(folder: Path, frames: int) -> str:
    """Return the Lua that exports the first `frames` frames of the session to `folder`."""
    return _EXPORT.format(folder=folder, frames=frames, preset=_PRESET)


def exported(folder: Path, rate: int, said: str) -> NDArray[np.float32]:
    """Return what was exported to `folder`, [channels, frames], and remove it.

    Raises `AssertionError` with what Ardour has `said` where nothing was.
    """
    written = folder / "export.wav"
    assert written.exists(), said
    sound, its_rate = soundfile.read(written, dtype="float32", always_2d=True)
    assert its_rate == rate, said
    written.unlink()
    return np.ascontiguousarray(sound.T)


class Player:
    """A JACK client that plays noise and keeps it. In an export, the server calls it as often as it can."""

    def __init__(self, server: Any, name: str = "player") -> None:
        self.client = server.client(name)
        self._outs = [self.client.outports.register(f"send_{k}") for k in range(2)]
        self._played: list[NDArray[np.float32]] = []
        noise = np.random.default_rng(3)

        @self.client.set_process_callback
        def process(frames: int) -> None:
            block = (0.1 * noise.standard_normal((2, frames))).astype(np.float32)
            for port, channel in zip(self._outs, block, strict=True):
                port.get_array()[:] = channel
            self._played.append(block)

        self.client.activate()

    def close(self) -> NDArray[np.float32]:
        """Leave the server; return all that was played, [channels, frames]."""
        self.client.deactivate()
        self.client.close()
        return np.concatenate(self._played, axis=1)


def export(server: Any, player: str, folder: Path, seconds: float) -> NDArray[np.float32]:
    """Send the client `player` through rtsep, and export `seconds` of the sum of its stems.

    Returns [channels, frames]. Raises `AssertionError` with the output of Ardour if it does not export.
    """
    environment = server.environment | make_home(folder / "home")
    script = folder / "export.lua"
    script.write_text(
        _SCRIPT.format(
            folder=folder,
            rate=server.rate,
            export=export_lines(folder, round(seconds * server.rate)),
            stems=", ".join(f'"{name}"' for name in STEM_PORTS),
            player=player,
        )
    )
    done = subprocess.run(
        [PROGRAM, str(script)],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S,
    )  # fmt: skip
    return exported(folder, server.rate, done.stdout + done.stderr)


def installed() -> bool:
    """Return whether Ardour 7 is on this machine, with the folders that it looks for."""
    return shutil.which(PROGRAM, path=os.environ.get("PATH")) is not None
