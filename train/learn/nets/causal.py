"""The system `causal` of rtsep: training of its net (`causal_net`), and its program (`causal_program`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from train.data.remix import Recipe
from train.learn.loss import LossConfig, masked_loss, target_of
from train.learn.nets.causal_net import CausalNet, CausalSizes
from train.learn.nets.causal_program import CausalProgram
from train.learn.stft import mid_side, windows
from train.learn.system import Net, Training


@dataclass(frozen=True)
class Causal(CausalSizes):
    """The system `causal`; the sizes of its net are those of `CausalSizes`."""

    family: ClassVar[str] = "causal"

    # Mostly real songs: a net this small fits the most frequent material.
    training: Training = field(
        default_factory=lambda: Training(
            optimiser="soap", learning_rate=3e-3, true_share=(0.75, 0.9), recipe=Recipe(clips=0.8)
        )
    )
    objective: LossConfig = field(default_factory=LossConfig)

    @property
    def rates(self) -> tuple[int, ...]:
        """Both common rates: training moves pitch by more than they differ."""
        return (44100, 48000)

    @property
    def lookahead_hops(self) -> int:
        """See `System`."""
        return self.lookahead

    def net(self) -> Net:
        """See `System`."""
        return CausalNet(self)

    @torch.no_grad()
    def calibrate(self, net: Net, slope: float, offset: float) -> None:
        """See `System`."""
        assert isinstance(net, CausalNet) and net.last.bias is not None
        for part in (net.last.weight, net.last.bias, net.last_place):
            part.mul_(slope)
        net.last.bias.add_(offset)

    def program(self, net: Net) -> CausalProgram:
        """See `System`."""
        assert isinstance(net, CausalNet)
        return CausalProgram(net)

    def normalise(self, net: Net, waves: Tensor) -> None:
        """Normalise the features."""
        assert isinstance(net, CausalNet)
        net.fit_features(self.features(self.spectra(waves[:, 1])))

    def loss(self, net: Callable[..., Any], waves: Tensor) -> Tensor:
        """See `train.learn.loss`."""
        analysis, synthesis = (window.to(waves.device) for window in windows(self.framing))
        # The last columns are input only: their masks would come after the excerpt.
        late = self.lookahead
        target = target_of(
            mid_side(waves[..., : waves.shape[-1] - late * self.framing.hop]),
            self.framing,
            analysis,
            self.objective,
        )
        with torch.no_grad():
            features = self.features(self.spectra(waves[:, 1]) if late else target.mix)
        logits = self.unpool(net(features)[late:])
        return masked_loss(logits, target, self.framing, synthesis, self.objective)[0]
