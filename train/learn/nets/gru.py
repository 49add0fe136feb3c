"""The system `gru`: a causal Open-Unmix, as a baseline.

    log powers of mid and side up to 16 kHz, relative to the recent level, normalised bin by bin
      -> linear to `hidden`, layer norm, tanh
      -> `layers` of GRU over time, beside what went into them
      -> linear to `hidden`, layer norm, ReLU
      -> linear, sigmoid: masks of mid and side, all bins

F.-R. Stöter, S. Uhlich, A. Liutkus and Y. Mitsufuji, "Open-Unmix - a reference implementation for music
source separation", JOSS 2019. What differs, for it to play live and to be compared with `causal`:

- its three LSTMs run both ways over a recording; GRUs (K. Cho et al., EMNLP 2014) run forwards alone;
- its input is magnitudes with batch norms; here it is log powers relative to the recent level, as with
  `causal` (`train.learn.nets.relative`), with layer norms;
- framing, masks, loss and mixtures are those of `causal`; that net has a twelfth of the weights.

A step uses each weight once, for one column: it costs what reading 7 MB of weights costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from rtsep.dsp.windows import PROFILES, Framing
from rtsep.errors import UsageError
from train.data.remix import Recipe
from train.learn.loss import LossConfig, masked_loss, target_of
from train.learn.nets.relative import FLOOR, LEVEL_FLOOR, kept_of, level_of_late
from train.learn.stft import mid_side, windows
from train.learn.system import Net, System, Training

MASKS = 2  # of mid and side


@dataclass(frozen=True)
class Gru(System):
    """The system `gru` and the sizes of its net."""

    family: ClassVar[str] = "gru"

    training: Training = field(
        default_factory=lambda: Training(batch=4, hops=344, true_share=(0.75, 0.9), recipe=Recipe(clips=0.8))
    )
    framing: Framing = PROFILES["light"]
    heard_hz: float = 16000.0  # bins above it are masked, but are not inputs
    hidden: int = 256
    layers: int = 2
    dropout: float = 0.2  # between the layers, in training
    level_s: float = 2.0  # time constant of the level
    objective: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.layers < 1:
            raise UsageError(f"hidden {self.hidden}, layers {self.layers}: must be at least 1")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout {self.dropout:g}: must be at least 0 and below 1")
        if not 0 < self.heard_hz <= self.rate / 2 or self.inputs < 1:
            raise UsageError(f"heard_hz {self.heard_hz:g}: must reach a bin, and at most {self.rate / 2:g}")

    @property
    def rates(self) -> tuple[int, ...]:
        """Both common rates: training moves pitch by more than they differ."""
        return (44100, 48000)

    @property
    def inputs(self) -> int:
        """Number of input bins, from the lowest on."""
        return round(self.heard_hz / self.rate * self.framing.n_fft)

    @property
    def keep(self) -> float:
        """Share of the recent level that remains after a hop."""
        return kept_of(self.level_s, self.framing.hop, self.rate)

    # ------------------------------------------------------------------ as a system
    def net(self) -> GruNet:
        """See `System`."""
        return GruNet(self)

    @torch.no_grad()
    def calibrate(self, net: Net, slope: float, offset: float) -> None:
        """See `System`."""
        assert isinstance(net, GruNet)
        net.last.weight.mul_(slope)
        net.last.bias.mul_(slope).add_(offset)

    def program(self, net: Net) -> GruProgram:
        """See `System`."""
        assert isinstance(net, GruNet)
        return GruProgram(net)

    def features(self, mix: Tensor) -> Tensor:
        """Log powers [T, B, 2, inputs] of mid/side columns [B, 2, T, bins] complex."""
        parts = torch.view_as_real(mix.permute(2, 0, 1, 3))
        powers = parts[..., 0].square() + parts[..., 1].square()
        # Mid and side together: the mean power of left and right.
        level = level_of_late(powers.sum(2).mean(2), self.keep) + LEVEL_FLOOR
        return torch.log(powers[..., : self.inputs] / level[..., None, None] + FLOOR)

    def normalise(self, net: Net, waves: Tensor) -> None:
        """Normalise the features."""
        assert isinstance(net, GruNet)
        net.fit_features(self.features(self.spectra(waves[:, 1])))

    def loss(self, net: Callable[..., Any], waves: Tensor) -> Tensor:
        """See `train.learn.loss`."""
        analysis, synthesis = (window.to(waves.device) for window in windows(self.framing))
        target = target_of(mid_side(waves), self.framing, analysis, self.objective)
        logits = net(self.features(target.mix))
        return masked_loss(logits, target, self.framing, synthesis, self.objective)[0]


class GruNet(Net):
    """The net in its training form: whole sequences from a zero state."""

    mean: Tensor
    scale: Tensor

    def __init__(self, system: Gru = Gru()) -> None:
        super().__init__()
        self.system = system
        c, width = system, system.hidden
        self.first = nn.Linear(MASKS * c.inputs, width, bias=False)
        self.norm_first = nn.LayerNorm(width)
        dropout = c.dropout if c.layers > 1 else 0.0  # torch's own is between layers alone
        self.gru = nn.GRU(width, width, c.layers, dropout=dropout)
        self.join = nn.Linear(2 * width, width, bias=False)
        self.norm_join = nn.LayerNorm(width)
        self.last = nn.Linear(width, MASKS * (c.framing.bins - 1))
        self.register_buffer("mean", torch.full((MASKS, c.inputs), -5.0))
        self.register_buffer("scale", torch.full((MASKS, c.inputs), 0.25))

    def fit_features(self, features: Tensor) -> None:
        """Set the normalisation from features [..., 2, inputs] of training mixtures."""
        flat = features.reshape(-1, *features.shape[-2:])
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(1 / flat.std(0).clamp_min(0.6))

    def forward(self, features: Tensor) -> Tensor:
        """Map features [T, B, 2, inputs] to mask logits [T, B, 2, bins - 1]; Nyquist gets the last."""
        normal = (features - self.mean) * self.scale
        x = torch.tanh(self.norm_first(self.first(normal.flatten(2))))
        joined = torch.cat([x, self.gru(x)[0]], 2)
        x = torch.relu(self.norm_join(self.join(joined)))
        return self.last(x).unflatten(2, (MASKS, -1))

    def masks(self, columns: Tensor) -> Tensor:
        """Masks [T, 2, bins] of one recording's columns [T, 2, bins, 2], as the contract words it."""
        spectra = torch.view_as_complex(columns.contiguous()).transpose(0, 1)[None]  # [1, 2, T, bins]
        masks = torch.sigmoid(self(self.system.features(spectra))[:, 0])
        return torch.cat([masks, masks[..., -1:]], -1)


class GruCell(nn.Module):
    """One layer of the GRU as it is played: two products a step."""

    def __init__(self, gru: nn.GRU, layer: int) -> None:
        super().__init__()
        self.width = gru.hidden_size
        for ours, theirs in (("new", "ih"), ("old", "hh")):  # weights of the input and of the memory
            weight = getattr(gru, f"weight_{theirs}_l{layer}").detach()
            self.register_buffer(ours, weight.t().contiguous())  # [H, 3 H]: reset, update, candidate
            self.register_buffer(f"{ours}_bias", getattr(gru, f"bias_{theirs}_l{layer}").detach().clone())

    def advance(self, new: Tensor, hidden: Tensor) -> None:
        """Update the memory `hidden` [1, H] in place with `new` [1, 3 H], the product of the input."""
        two = 2 * self.width
        old = torch.addmm(self.old_bias, hidden, self.old)
        gates = torch.sigmoid(new[:, :two] + old[:, :two])
        candidate = torch.tanh(torch.addcmul(new[:, two:], gates[:, : self.width], old[:, two:]))
        torch.lerp(candidate, hidden, gates[:, self.width :], out=hidden)

    def forward(self, x: Tensor, hidden: Tensor) -> None:
        """One step: x [1, H] into `hidden` [1, H], in place, which is its output as well."""
        self.advance(torch.addmm(self.new_bias, x, self.new), hidden)

    @torch.jit.export
    def offline(self, x: Tensor) -> Tensor:
        """All steps at once from a zero state: [T, H] -> [T, H]."""
        new = torch.addmm(self.new_bias, x, self.new)
        hidden = x.new_zeros(1, self.width)
        out = torch.empty_like(x)
        for t in range(x.shape[0]):
            self.advance(new[t : t + 1], hidden)
            out[t] = hidden[0]
        return out


class GruProgram(nn.Module):
    """The whole net; `state_size` floats of state, zeros at the start: level, memories.

    The level is kept as two sums, of powers and of their weights. The normalisation of the features is
    part of the first matrix.
    """

    def __init__(self, net: GruNet) -> None:
        super().__init__()
        c = net.system
        self.bins, self.inputs, self.width, self.keep = c.framing.bins, c.inputs, c.hidden, c.keep
        self.state_size = 2 + c.layers * c.hidden
        self.floor, self.level_floor = FLOOR, LEVEL_FLOOR  # TorchScript has no access to globals
        first = net.first.weight.detach() * net.scale.flatten()  # [H, 2 inputs]
        norms = {"norm_first": net.norm_first, "norm_join": net.norm_join}
        parts = {
            "first": first.t(),
            "first_bias": -(first @ net.mean.flatten()),
            "join": net.join.weight.t(),
            "last": net.last.weight.t(),
            "last_bias": net.last.bias,
            "one": torch.ones(()),
        }
        parts |= {name: norm.weight for name, norm in norms.items()}
        parts |= {f"{name}_bias": norm.bias for name, norm in norms.items()}
        for name, value in parts.items():
            self.register_buffer(name, value.detach().clone().contiguous())
        self.cells = nn.ModuleList(GruCell(net.gru, layer) for layer in range(c.layers))

    def powers(self, columns: Tensor) -> Tensor:
        """Powers [T, 2, bins] of columns [T, 2, bins, 2]."""
        return torch.addcmul(columns[..., 0].square(), columns[..., 1], columns[..., 1])

    def squeezed(self, powers: Tensor, level: Tensor) -> Tensor:
        """Return the input of the GRU [T, H] from powers [T, 2, bins] against the level [T]."""
        relative = powers[:, :, : self.inputs] / (level + self.level_floor)[:, None, None]
        features = relative.add_(self.floor).log_().flatten(1)
        x = torch.addmm(self.first_bias, features, self.first)
        return layer_norm(x, [self.width], self.norm_first, self.norm_first_bias).tanh_()

    def masked(self, x: Tensor, memory: Tensor) -> Tensor:
        """Masks [T, 2, bins] of what went into the GRU and what came out, [T, H] each."""
        joined = torch.mm(torch.cat([x, memory], 1), self.join)
        x = layer_norm(joined, [self.width], self.norm_join, self.norm_join_bias).relu_()
        masks = torch.sigmoid(torch.addmm(self.last_bias, x, self.last)).view(-1, 2, self.bins - 1)
        return torch.cat([masks, masks[:, :, -1:]], 2)

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Mask [2, bins] of a column [2, bins, 2]; `state` [state_size] is advanced in place."""
        powers = self.powers(column.unsqueeze(0))
        # Mid and side together: the mean power of left and right.
        now = torch.stack([powers.sum() / self.bins, self.one])
        level = state[:2].mul_(self.keep).add_(now)
        x = self.squeezed(powers, level[:1] / level[1:])
        memories = state[2:].view(-1, 1, self.width)
        memory, layer = x, 0
        for cell in self.cells:
            cell(memory, memories[layer])
            memory = memories[layer]
            layer += 1  # noqa: SIM113 TorchScript cannot enumerate modules
        return self.masked(x, memory)[0]

    @torch.jit.export
    def offline(self, columns: Tensor) -> Tensor:
        """Masks [T, 2, bins] of columns [T, 2, bins, 2], from a zero state."""
        powers = self.powers(columns)
        x = self.squeezed(powers, level_of_late(powers.sum([1, 2]) / self.bins, self.keep))
        memory = x
        for cell in self.cells:
            memory = cell.offline(memory)
        return self.masked(x, memory)
