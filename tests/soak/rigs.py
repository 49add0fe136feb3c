"""Two servers to soak on, treated alike: JACK with the dummy driver, PipeWire with null sinks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rtsep.audio.jack_library import pipewire_library
from tests.soak.plan import JACK, PIPEWIRE

if TYPE_CHECKING:
    from tests.e2e.jackserver import JackServer
    from tests.e2e.pipewireserver import PipeWireServer

PERIOD, RATE = 64, 44100


class Rig(Protocol):
    """A server that runs."""

    output: str  # the device that plays at first, as `switch_device` takes it
    midi: bool  # whether controllers can be plugged in

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment in which the session's process finds it."""

    @property
    def beside(self) -> Mapping[str, str]:
        """Environment in which a C client finds it."""

    def freeze(self, seconds: float) -> None:
        """Let the server stand still for so long."""

    def change(self, name: str, value: int) -> bool:
        """Set its "period" or "rate"; return False where it cannot, but a client can."""

    def close(self) -> None:
        """End the server."""


class _Rig:
    """Common part of both, with a server of the tests."""

    _server: JackServer | PipeWireServer

    def freeze(self, seconds: float) -> None:
        """As `Rig.freeze`."""
        self._server.send(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            self._server.send(signal.SIGCONT)

    def close(self) -> None:
        """As `Rig.close`."""
        self._server.remove()


class JackRig(_Rig):
    """A private jackd at 64 frames."""

    output, midi = "JACK server", True

    def __init__(self) -> None:
        from tests.e2e.jackserver import JackServer  # needs libjack

        self._server = JackServer(rate=RATE, period=PERIOD)
        self.environment: Mapping[str, str] = self._server.environment
        self.beside = self.environment

    def change(self, name: str, value: int) -> bool:
        """As `Rig.change`."""
        return False


class PipeWireRig(_Rig):
    """A private PipeWire at 64 frames, with a null sink and a null microphone."""

    output, midi = "PipeWire", False

    def __init__(self) -> None:
        from tests.e2e.pipewireserver import PipeWireServer

        self._server = PipeWireServer()
        self._server.change("allowed-rates", f"[ {RATE} 48000 ]")
        self.change("rate", RATE)
        self.change("period", PERIOD)
        self.environment: Mapping[str, str] = self._server.environment
        library = pipewire_library()
        folders = [str(Path(library).parent)] if library else []
        folders += [folder for folder in (os.environ.get("LD_LIBRARY_PATH"),) if folder]
        self.beside = {**self.environment, "LD_LIBRARY_PATH": ":".join(folders)}

    def change(self, name: str, value: int) -> bool:
        """As `Rig.change`."""
        self._server.change({"period": "force-quantum", "rate": "force-rate"}[name], value)
        return True


RIGS: dict[str, type[JackRig] | type[PipeWireRig]] = {JACK: JackRig, PIPEWIRE: PipeWireRig}
