"""The view's player for a session of another program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.histogram import HISTOGRAM_BINS
from rtsep.controls import Controls
from rtsep.surfaces.players.file_keys import FileKeys
from rtsep.surfaces.players.player import Choice, Spectrum
from rtsep.surfaces.remote.messages import ListDevices, ListPresets, Picture
from rtsep.surfaces.remote.session import RemoteSession, as_list

FRAMES_PER_S = 30.0


class RemotePlayer(FileKeys):
    """Player (`rtsep.surfaces.players.player.Player`) for a session of another program.

    `end` only detaches: the session continues.
    """

    def __init__(self, name: str | None, notify: Callable[[str], None]) -> None:
        """Attach to the session `name`; `notify` receives its lines for the user. Raise `SessionError`."""
        self._session: RemoteSession = RemoteSession(name, FRAMES_PER_S, picture=True, on_line=notify)
        self.controls: Controls = self._session.controls
        self._histogram = np.zeros(HISTOGRAM_BINS, np.int64)
        self._remarks: dict[type, str] = {}

    @property
    def session(self) -> RemoteSession:
        """Return the remote session."""
        return self._session

    @property
    def title(self) -> str:
        """Return input -> output, and the name of the session."""
        return f"[{self._session.name}] {self._session.latest.ends}"

    @property
    def hop_budget_us(self) -> float:
        """Return the maximum duration of a hop in us before the next one comes."""
        return self._session.latest.hop_budget_us

    def _file(self) -> str:
        return self._session.latest.input

    def stats(self) -> dict[str, Any]:
        """Return the last received figures."""
        return self._session.latest.stats

    def hop_histogram(self) -> NDArray[np.int64]:
        """Return hops of the active engine by duration, as last received."""
        return self._histogram

    def newest(self) -> Spectrum | None:
        """Return new data since the last call, None for nothing."""
        pictures: list[Picture] = []
        while self._session.pictures:
            pictures.append(self._session.pictures.popleft())
        if not pictures:
            return None
        self._histogram = np.zeros(HISTOGRAM_BINS, np.int64)
        for place, hops in pictures[-1].histogram:
            self._histogram[min(place, HISTOGRAM_BINS - 1)] = hops
        with_data = [picture for picture in pictures if picture.level_db]
        if not with_data:
            return None
        levels = np.array([picture.level_db for picture in with_data], np.float32)
        power = 10.0 ** (levels / 10.0)
        share = (power * np.array([picture.share for picture in with_data])).sum(axis=0) / power.sum(axis=0)
        return Spectrum(levels.max(axis=0), np.asarray(share, np.float32), sum(p.hops for p in with_data))

    def end(self) -> None:
        """Detach from the session."""
        self._session.close()

    def over(self, timeout: float | None = 0.0) -> bool:
        """Return whether the session has ended or was detached, after at most `timeout` seconds."""
        return self._session.is_over(timeout)

    # --- slow methods ---------------------------------------------------------------------------------

    def start_recording(self) -> str:
        """Start a take; return its folder."""
        return self._session.start_recording()

    def stop_recording(self) -> str:
        """End the take; return its files as text."""
        return self._session.stop_recording()

    def presets(self) -> list[Choice]:
        """Return the presets of the session."""
        return self._listed(ListPresets)

    def presets_remark(self) -> str:
        """Return the reason why some are missing from that list."""
        return self._remarks.get(ListPresets, "")

    def recall_preset(self, name: str) -> None:
        """Set the controls to the values of the preset."""
        self._session.load_preset(name)

    def save_preset(self, name: str) -> None:
        """Save the controls as a preset."""
        self._session.save_preset(name)

    def models(self) -> list[Choice]:
        """Return the models of the session."""
        return self._session.models()

    def switch_model(self, name: str) -> None:
        """Switch to another model when it is ready."""
        self._session.switch_model(name)

    def devices(self) -> list[Choice]:
        """Return the inputs and outputs of the session's machine."""
        return self._listed(ListDevices)

    def devices_remark(self) -> str:
        """Return the limitation of that list."""
        return self._remarks.get(ListDevices, "")

    def switch_device(self, *, input: str | None = None, output: str | None = None) -> None:
        """Switch to another device."""
        self._session.switch_device(input=input, out_device=output)

    def _listed(self, kind: type[ListDevices | ListPresets]) -> list[Choice]:
        found = self._session.choices(kind)
        self._remarks[kind] = found.remark
        return as_list(found)
