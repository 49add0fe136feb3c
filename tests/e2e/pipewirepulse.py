"""PipeWire's PulseAudio server, as desktops have it, with what `PulseServer` offers; gone with the test."""

from __future__ import annotations

import shutil
import subprocess

from tests.e2e.jackserver import die_with_parent
from tests.e2e.pipewireserver import PipeWireServer
from tests.e2e.pipewireserver import missing as missing_for_pipewire
from tests.e2e.pulseserver import MICROPHONE, SPEAKERS, PulseServer
from tests.waiting import until


def missing() -> list[str]:
    """Return what a test on it lacks on this machine."""
    programs = [name for name in ("pipewire-pulse", "pactl") if shutil.which(name) is None]
    return [*missing_for_pipewire(), *programs]


class PipeWirePulse(PulseServer):
    """The sink SPEAKERS and the source MICROPHONE are the defaults; the microphone captures silence."""

    def __init__(self) -> None:
        self._pipewire = PipeWireServer()
        super().__init__()

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which a client's process finds this server and no other."""
        return self._pipewire.environment

    def start(self) -> None:
        """Start and wait until clients can come."""
        self._daemon = subprocess.Popen(
            ["pipewire-pulse"], env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=die_with_parent,
        )  # fmt: skip
        until(lambda: MICROPHONE in self.listing("sources"), "PipeWire's PulseAudio server should start")
        self.control("set-default-sink", SPEAKERS)
        self.control("set-default-source", MICROPHONE)

    def remove(self) -> None:
        """End all that was started."""
        super().remove()
        self._pipewire.remove()
