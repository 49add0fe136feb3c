"""A hosted model: its process, the mask exchange with the hop loop, and the engine around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtsep.audio.engine import Engine, StreamFormat
from rtsep.controls import Controls
from rtsep.model.package import ModelPackage
from rtsep.model.supervisor import ModelSupervisor
from rtsep.realtime.mask_exchange import MaskExchange


class ModelHost:
    """Model with its process and mask exchange. It outlives the engines that device swaps replace."""

    def __init__(self, package: ModelPackage, compute: str) -> None:
        """Create the mask exchange; start no process yet. The model will run on `compute` ("cpu", "cuda")."""
        self.package = package
        self.mask_exchange = MaskExchange.create(package.spec.channels, package.spec.bins)
        self.process = ModelSupervisor(self.mask_exchange, package.path, compute, package.sha256)

    def start(self) -> None:
        """Start the process and wait until it is ready; raise `ModelError` or `ModelProcessError`."""
        self.process.start()

    def close(self) -> None:
        """End the process and remove the mask exchange; no engine may use them any more."""
        self.process.stop()
        self.mask_exchange.close()


class HostedModel:
    """Model and engine that play together. Immutable: a device swap creates another one."""

    def __init__(
        self,
        host: ModelHost,
        format: StreamFormat,
        controls: Controls,
        input_ring: NDArray[np.float32] | None = None,
    ) -> None:
        """Build the engine for this stream format; `input_ring` as in `Engine`."""
        self.host = host
        self.engine = Engine(host.package.spec, format, controls, host.mask_exchange, input_ring)

    @property
    def package(self) -> ModelPackage:
        """Return the model's file."""
        return self.host.package

    def for_devices(self, format: StreamFormat) -> HostedModel:
        """Return the same model with a new engine, which may start when this one's engine has ended."""
        return HostedModel(self.host, format, self.engine.controls)
