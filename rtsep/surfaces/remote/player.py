"""The player behind the view where the session plays in another program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.histogram import HISTOGRAM_BINS
from rtsep.controls import Controls
from rtsep.surfaces.players.file_keys import FileKeys
from rtsep.surfaces.players.player import Choice, Heard
from rtsep.surfaces.remote.messages import ListDevices, ListPresets, Picture
from rtsep.surfaces.remote.session import RemoteSession, as_list

FRAMES_PER_S = 30.0


class RemotePlayer(FileKeys):
    """A `rtsep.surfaces.players.player.Player` that is a session in another program.

    To `end` it is to let go: the session plays on.
    """

    def __init__(self, name: str | None, say: Callable[[str], None]) -> None:
        """Attach to the session `name`; `say` gets its lines for the user. Raises `SessionError`."""
        self._session: RemoteSession = RemoteSession(name, FRAMES_PER_S, picture=True, on_line=say)
        self.controls: Controls = self._session.controls
        self._histogram = np.zeros(HISTOGRAM_BINS, np.int64)
        self._remarks: dict[type, str] = {}

    @property
    def session(self) -> RemoteSession:
        """The session elsewhere."""
        return self._session

    @property
    def title(self) -> str:
        """Input -> output, and the name of the session."""
        return f"[{self._session.name}] {self._session.latest.ends}"

    @property
    def hop_budget_us(self) -> float:
        """How long a hop may take before the next one comes."""
        return self._session.latest.hop_budget_us

    def stats(self) -> dict[str, Any]:
        """Return what the session has told last."""
        return self._session.latest.stats

    def hop_histogram(self) -> NDArray[np.int64]:
        """Return hops of the engine that is heard, by duration, as the session has told last."""
        return self._histogram

    def newest(self) -> Heard | None:
        """Return what came since the last call, None for nothing."""
        pictures: list[Picture] = []
        while self._session.pictures:
            pictures.append(self._session.pictures.popleft())
        if not pictures:
            return None
        self._histogram = np.zeros(HISTOGRAM_BINS, np.int64)
        for place, hops in pictures[-1].histogram:
            self._histogram[min(place, HISTOGRAM_BINS - 1)] = hops
        heard = [picture for picture in pictures if picture.level_db]
        if not heard:
            return None
        levels = np.array([picture.level_db for picture in heard], np.float32)
        power = 10.0 ** (levels / 10.0)
        share = (power * np.array([picture.share for picture in heard])).sum(axis=0) / power.sum(axis=0)
        return Heard(levels.max(axis=0), np.asarray(share, np.float32), sum(p.hops for p in heard))

    def end(self) -> None:
        """Let go of the session."""
        self._session.close()

    def over(self, timeout: float | None = 0.0) -> bool:
        """Return whether the session is over, or was let go of, after at most `timeout` seconds."""
        return self._session.is_over(timeout)

    # --- what may take its time ------------------------------------------------------------------------

    def start_recording(self) -> str:
        """Begin a take; return where."""
        return self._session.start_recording()

    def stop_recording(self) -> str:
        """End the take; return what is there now, in words."""
        return self._session.stop_recording()

    def presets(self) -> list[Choice]:
        """Return the presets that the session can recall."""
        return self._listed(ListPresets)

    def presets_remark(self) -> str:
        """Return why some are not in that list."""
        return self._remarks.get(ListPresets, "")

    def recall_preset(self, name: str) -> None:
        """Set the controls as the preset says."""
        self._session.load_preset(name)

    def save_preset(self, name: str) -> None:
        """Keep the controls as a preset."""
        self._session.save_preset(name)

    def models(self) -> list[Choice]:
        """Return the models that the session can play with."""
        return self._session.models()

    def switch_model(self, name: str) -> None:
        """Go on with another model, once it is ready."""
        self._session.switch_model(name)

    def devices(self) -> list[Choice]:
        """Return the inputs and outputs of the session's machine."""
        return self._listed(ListDevices)

    def devices_remark(self) -> str:
        """Return what that list leaves out."""
        return self._remarks.get(ListDevices, "")

    def switch_device(self, *, input: str | None = None, output: str | None = None) -> None:
        """Go on with another device."""
        self._session.switch_device(input=input, out_device=output)

    def _listed(self, kind: type[ListDevices | ListPresets]) -> list[Choice]:
        found = self._session.choices(kind)
        self._remarks[kind] = found.remark
        return as_list(found)
