"""A model that plays: its file, its process, the slots it shares with the hop loop, the engine around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.engine import Engine, Format
from rtsep.controls import Controls
from rtsep.model.package import ModelPackage
from rtsep.model.supervisor import ModelSupervisor
from rtsep.realtime.slots import SharedSlots


class Deck:
    """Built silent. Engines come and go with the devices, the model stays."""

    engine: Engine
    """The one that runs, or is to run: whoever composes a session puts it here."""

    def __init__(self, package: ModelPackage, device: str, controls: Controls) -> None:
        """Load nothing yet; the model will compute on `device` ("cpu", "cuda")."""
        self.package, self._controls = package, controls
        self._shared = SharedSlots.create(package.spec.channels, package.spec.bins)
        self.model = ModelSupervisor(self._shared, package.path, device)

    def build_engine(self, form: Format, input_ring: NDArray[np.float32] | None = None) -> Engine:
        """Return a new engine for devices of this format; it may start when the one before has ended.

        `input_ring` as for `Engine`.
        """
        return Engine(self.package.spec, form, self._controls, self._shared, input_ring)

    def start_model(self) -> None:
        """Start the model process and wait for it; raises `ModelError` or `ModelProcessError`."""
        self.model.start()

    def close(self) -> None:
        """End the model process; the engine has ended."""
        self.model.stop()
        self._shared.close()
