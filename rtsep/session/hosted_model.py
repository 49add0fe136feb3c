"""A model that plays: its process, the slots it shares with the hop loop, and the engine around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.engine import Engine, Format
from rtsep.controls import Controls
from rtsep.model.package import ModelPackage
from rtsep.model.supervisor import ModelSupervisor
from rtsep.realtime.slots import SharedSlots


class ModelHost:
    """A model with its process and its slots. It stays while engines come and go with the devices."""

    def __init__(self, package: ModelPackage, compute: str) -> None:
        """Create the slots; no process runs yet. The model will compute on `compute` ("cpu", "cuda")."""
        self.package = package
        self.slots = SharedSlots.create(package.spec.channels, package.spec.bins)
        self.process = ModelSupervisor(self.slots, package.path, compute, package.sha256)

    def start(self) -> None:
        """Start the process and wait until it is ready; raises `ModelError` or `ModelProcessError`."""
        self.process.start()

    def close(self) -> None:
        """End the process and remove the slots; no engine uses them any more."""
        self.process.stop()
        self.slots.close()


class HostedModel:
    """A model and the engine that plays with it. It is never changed: other devices take another one."""

    def __init__(
        self,
        host: ModelHost,
        form: Format,
        controls: Controls,
        input_ring: NDArray[np.float32] | None = None,
    ) -> None:
        """Build the engine for devices of this format; `input_ring` as for `Engine`."""
        self.host = host
        self.engine = Engine(host.package.spec, form, controls, host.slots, input_ring)

    @property
    def package(self) -> ModelPackage:
        """The model's file."""
        return self.host.package

    def for_devices(self, form: Format) -> HostedModel:
        """Return the same model with a new engine, which may start when this one's engine has ended."""
        return HostedModel(self.host, form, self.engine.controls)
