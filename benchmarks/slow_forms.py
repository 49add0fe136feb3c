"""Nets as they are written down first, of the same weights and with the same masks as those that are played.

What a rewriting of a net for one column a hop has gained is measured against these (`benchmarks.gains`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from train.nets.causal_net import CausalNet
from train.nets.causal_program import CausalProgram
from train.nets.column_resnet_small import SmallResNet
from train.nets.targets import magnitudes


class ConvolvedCausal(nn.Module):
    """The `causal` net in the layers that it is trained in: `Conv1d` over frequency, `Linear` over bands.

    One column at a time, the state as that of `CausalProgram`, whose ears it has.
    """

    def __init__(self, net: CausalNet) -> None:
        super().__init__()
        self.ears = CausalProgram(net)  # features of a column; none of its products
        self.state_size = self.ears.state_size
        self.first, self.last, self.norm = net.first, net.last, net.norm
        self.first_place, self.last_place = net.first_place, net.last_place
        self.down, self.up = net.down, net.up
        self.blocks = nn.ModuleList(BlockStep(block) for block in net.blocks)

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Mask [2, bins] of a column [2, bins, 2]; `state` [state_size] is advanced in place."""
        ears = self.ears
        powers = ears.powers(column.unsqueeze(1))
        level = state[:2].mul_(ears.keep).add_(torch.stack([powers[:2].mean(), ears.one]))
        new = ears.features(powers, level[:1] / level[1:]).squeeze(1).t()  # [pooled, 4]
        heard = state[2 : ears.memories].view(ears.pooled, ears.heard)
        seen = torch.cat([heard, new], 1)
        heard.copy_(seen[:, ears.features_per_bin :])
        x = torch.relu(self.first(seen.t().unsqueeze(0)) + self.first_place)  # [1, C, pooled]
        skips: list[Tensor] = []
        for conv in self.down:
            skips.append(x)
            x = torch.relu(conv(x))
        h = x[0].t().contiguous()  # [bands, dim]
        hidden = state[ears.memories :].view(-1, ears.bands, ears.width)
        layer = 0
        for block in self.blocks:
            h = block(h, hidden[layer])
            layer += 1  # noqa: SIM113 TorchScript cannot enumerate modules
        x = self.norm(h).t().unsqueeze(0)
        for conv in self.up:
            halves = conv(x).unflatten(1, [2, -1])  # of each bin: lower, upper
            x = torch.relu(halves.permute(0, 2, 3, 1).flatten(2) + skips.pop())
        masks = torch.sigmoid(self.last(x) + self.last_place)[0]  # [masks, pooled]
        return masks.index_select(1, ears.place)


class BlockStep(nn.Module):
    """One step of a `train.nets.causal_net.Block` in its own layers."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.norm_time, self.gates, self.back = block.norm_time, block.gates, block.back
        self.norm_bands, self.spread, self.gather = block.norm_bands, block.spread, block.gather

    def forward(self, h: Tensor, hidden: Tensor) -> Tensor:
        """One step: h [K, D] -> [K, D], hidden [K, E] in place."""
        forget, candidate, gate = self.gates(self.norm_time(h)).chunk(3, 1)
        forget = torch.sigmoid(forget)
        hidden.copy_(forget * hidden + (1 - forget) * candidate)
        h = h + self.back(hidden * silu(gate))
        mixed = torch.relu(self.spread(self.norm_bands(h).t()))  # [D, M]
        return h + self.gather(mixed).t()


class WindowAnew(nn.Module):
    """The small net of `column-resnet` on its whole window for every column; the state holds the window."""

    def __init__(self, net: SmallResNet) -> None:
        super().__init__()
        self.net = net.eval()
        self.window, self.bins = net.window, net.bins
        self.state_size = net.window * net.bins

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Mask [1, bins] of the window that ends with this column [1, bins, 2]."""
        seen = state.view(self.window, self.bins)
        seen.copy_(torch.cat([seen[1:], magnitudes(column)]))
        return torch.sigmoid(self.net(seen.unsqueeze(0)))[0]
