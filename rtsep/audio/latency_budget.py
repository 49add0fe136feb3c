"""The declared latency of an engine, part by part."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LatencyBudget:
    """Where the time goes, in frames of the input's rate."""

    rate: int
    algorithm: int  # window, look-ahead, rate conversion
    engine: int  # slack for inference, block/hop mismatch, distance kept between two clocks
    device: int  # what blocks add that are no part of a hop, and what the hardware says of itself

    @property
    def total(self) -> int:
        """From input to output, in frames."""
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
        """Return the budget as the one line that is printed before the start."""
        ms = self.milliseconds()
        return (
            f"latency: algorithm {ms['algorithm']:.1f} + engine {ms['engine']:.1f} "
            f"+ device {ms['device']:.1f} = {ms['total']:.1f} ms "
            f"({self.algorithm} + {self.engine} + {self.device} = {self.total} samples at {self.rate} Hz)"
        )
