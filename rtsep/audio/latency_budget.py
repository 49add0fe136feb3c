"""The declared latency of an engine, in parts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LatencyBudget:
    """Parts of the latency, in frames of the input's rate."""

    rate: int
    algorithm: int  # window, look-ahead, rate conversion
    engine: int  # slack for inference, block/hop mismatch, distance between two clocks
    # extra buffering if the device block is longer than a hop, and the latency that the hardware reports
    device: int

    @property
    def total(self) -> int:
        """Return the latency from input to output in frames."""
        return self.algorithm + self.engine + self.device

    def milliseconds(self) -> dict[str, float]:
        """Return each part in ms."""
        parts = {
            "algorithm": self.algorithm,
            "engine": self.engine,
            "device": self.device,
            "total": self.total,
        }
        return {name: round(1000.0 * frames / self.rate, 3) for name, frames in parts.items()}

    def line(self) -> str:
        """Return the budget as the single line that is printed before the start."""
        ms = self.milliseconds()
        return (
            f"latency: algorithm {ms['algorithm']:.1f} + engine {ms['engine']:.1f} "
            f"+ device {ms['device']:.1f} = {ms['total']:.1f} ms "
            f"({self.algorithm} + {self.engine} + {self.device} = {self.total} samples at {self.rate} Hz)"
        )
