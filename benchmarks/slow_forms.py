"""Nets in their original form, with the same weights and masks as the optimised ones.

`benchmarks.gains` measures the gain of an optimised net for one column per hop against these.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pad, silu

from train.learn.nets.causal_ears import EDGE, Ears
from train.learn.nets.causal_net import ENDS, FEATURES, CausalNet
from train.learn.nets.causal_program import CausalProgram
from train.learn.nets.column_resnet_small import SmallResNet
from train.learn.nets.relative import FLOOR, LEVEL_FLOOR
from train.learn.nets.targets import magnitudes


class PlainEars(nn.Module):
    """Input layers of the `causal` net, each operation with its own result; state as that of `Ears`."""

    def __init__(self, net: CausalNet, ears: Ears) -> None:
        super().__init__()
        self.kept_rows = FEATURES * (ears.taps - 1)
        self.pool, self.keep, self.level_floor, self.floor = ears.pool, ears.keep, LEVEL_FLOOR, FLOOR
        self.features, self.edge = FEATURES, EDGE
        self.register_buffer("listen", torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0], [0.0, 1.0]]))
        self.register_buffer("scale", net.scale.detach().clone())
        self.register_buffer("shift", -net.mean.detach() * net.scale.detach())
        self.register_buffer("weight", ears.weight)

    def forward(self, column: Tensor, state: list[Tensor]) -> Tensor:
        """Return the features [4 * taps, EDGE + pooled + EDGE] of the newest columns, the oldest first."""
        four = torch.mm(self.listen, column.flatten(1)).view(self.features, -1, 2)
        powers = torch.addcmul(four[..., 0].square(), four[..., 1], four[..., 1])
        power = state[0].mul_(self.keep).add_(powers[:2].mean() * self.weight)
        weight = state[1].mul_(self.keep).add_(self.weight)
        parts: list[Tensor] = []
        first = 0
        for bins, factor in self.pool:
            part = powers[:, first : first + bins]
            parts.append(part if factor == 1 else part.unflatten(1, [-1, factor]).mean(2))
            first += bins
        pooled = torch.cat(parts, 1).div_(power / weight + self.level_floor).add_(self.floor).log_()
        new = pad(torch.addcmul(self.shift, pooled, self.scale), [self.edge, self.edge])
        seen = torch.cat([state[2].view(self.kept_rows, -1), new])
        state[2].copy_(seen[self.features :].flatten())
        return seen


class SlowCausal(nn.Module):
    """Common part of the slow forms of `CausalProgram`: one column at a time, the same state, plain ears."""

    def __init__(self, net: CausalNet, program: CausalProgram) -> None:
        super().__init__()
        self.ears, self.of_ears, self.edge = PlainEars(net, program.ears), program.of_ears, EDGE
        self.state_size, self.state_sizes = program.state_size, program.state_sizes
        self.bands, self.width, self.place = program.bands, program.width, program.place


class ConvolvedCausal(SlowCausal):
    """The `causal` net in its training layers: `Conv1d` over frequency, `Linear` over bands."""

    def __init__(self, net: CausalNet) -> None:
        super().__init__(net, CausalProgram(net))
        self.first, self.last, self.norm = net.first, net.last, net.norm
        self.first_place, self.last_place = net.first_place, net.last_place
        self.down, self.up = net.down, net.up
        self.blocks = nn.ModuleList(BlockStep(block) for block in net.blocks)

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Return the mask [2, bins] of a column [2, bins, 2]; `state` [state_size] is advanced in place."""
        parts = torch.split_with_sizes(state, self.state_sizes)
        seen = self.ears(column, parts[: self.of_ears])[:, self.edge : -self.edge]
        x = torch.relu(self.first(seen.unsqueeze(0)) + self.first_place)  # [1, C, pooled]
        skips: list[Tensor] = []
        for conv in self.down:
            skips.append(x)
            x = torch.relu(conv(x))
        h = x[0].t().contiguous()  # [bands, dim]
        layer = self.of_ears
        for block in self.blocks:
            h = block(h, parts[layer].view(self.bands, self.width))
            layer += 1
        x = self.norm(h).t().unsqueeze(0)
        for conv in self.up:
            halves = conv(x).unflatten(1, [2, -1])  # for each bin: lower, upper
            x = torch.relu(halves.permute(0, 2, 3, 1).flatten(2) + skips.pop())
        masks = torch.sigmoid(self.last(x) + self.last_place)[0]  # [masks, pooled]
        return masks.index_select(1, self.place)


class BlockStep(nn.Module):
    """One step of a `train.learn.nets.causal_net.Block` in its training layers."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.norm_time, self.gates, self.back = block.norm_time, block.gates, block.back
        self.norm_bands, self.spread, self.gather = block.norm_bands, block.spread, block.gather

    def forward(self, h: Tensor, hidden: Tensor) -> Tensor:
        """Compute one step: h [K, D] -> [K, D], hidden [K, E] in place."""
        forget, candidate, gate = self.gates(self.norm_time(h)).chunk(3, 1)
        forget = torch.sigmoid(forget)
        hidden.copy_(forget * hidden + (1 - forget) * candidate)
        h = h + self.back(hidden * silu(gate))
        mixed = torch.relu(self.spread(self.norm_bands(h).t()))  # [D, M]
        return h + self.gather(mixed).t()


class AllocatedCausal(SlowCausal):
    """The `causal` net in the products of `CausalProgram`, each with its own padded result."""

    def __init__(self, net: CausalNet) -> None:
        program = CausalProgram(net)
        super().__init__(net, program)
        self.dim, self.ends = program.dim, ENDS
        self.blocks, self.down, self.up = program.blocks, program.down, program.up
        self.first, self.first_bias = program.first, program.first_bias
        last = net.last.weight.detach().permute(1, 2, 0).flatten(0, 1)  # [C * ENDS, masks]
        self.register_buffer("last", last.contiguous())
        last_bias = net.last.bias.detach() + net.last_place.detach().t()
        self.register_buffer("last_bias", last_bias.contiguous())

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Return the mask [2, bins] of a column [2, bins, 2]; `state` [state_size] is advanced in place."""
        parts = torch.split_with_sizes(state, self.state_sizes)
        seen = self.ears(column, parts[: self.of_ears]).t()  # [EDGE + pooled + EDGE, 4 * taps]
        x = torch.addmm(self.first_bias, self.windows(seen), self.first).relu_()
        skips: list[Tensor] = []
        for down in self.down:
            skips.append(x)
            pairs = pad(x, [0, 0, 1, 1]).view(-1, down.channels)
            x = torch.addmm(torch.addmm(down.bias, pairs[:-1], down.lower), pairs[1:], down.upper).relu_()
        layer = self.of_ears
        for block in self.blocks:
            hidden = parts[layer].view(self.bands, self.width)
            pre = torch.addmm(block.gates_bias, layer_norm(x, [self.dim]), block.gates)
            forget, candidate, gate = pre.split(self.width, 1)
            torch.lerp(candidate, hidden, torch.sigmoid(forget), out=hidden)
            x = torch.addmm(x, hidden * silu(gate), block.back)
            mixed = torch.addmm(block.spread_bias, block.spread, layer_norm(x, [self.dim])).relu_()
            x = torch.addmm(x, block.gather, mixed)
            layer += 1
        x = layer_norm(x, [self.dim])
        for up in self.up:
            if up.size > 1:
                p = pad(x, [0, 0, 1, 1])
                x = torch.cat([p[:-2], x, p[2:]], 1)
            skip = skips.pop()
            x = torch.addmm(up.bias, x, up.weight).view_as(skip).add_(skip).relu_()
        windows = self.windows(pad(x, [0, 0, self.edge, self.edge]))
        masks = torch.sigmoid(torch.addmm(self.last_bias, windows, self.last))  # [pooled, masks]
        return masks.t().index_select(1, self.place)

    def windows(self, rows: Tensor) -> Tensor:
        """Return each of `rows` [F + ENDS - 1, C] with those after it: [F, C * ENDS]."""
        return rows.unfold(0, self.ends, 1).flatten(1)


class WholeWindow(nn.Module):
    """The small net of `column-resnet` on its whole window for every column; the state has the window."""

    def __init__(self, net: SmallResNet) -> None:
        super().__init__()
        self.net = net.eval()
        self.window, self.bins = net.window, net.bins
        self.state_size = net.window * net.bins

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Return the mask [1, bins] of the window that ends with this column [1, bins, 2]."""
        seen = state.view(self.window, self.bins)
        seen.copy_(torch.cat([seen[1:], magnitudes(column)]))
        return torch.sigmoid(self.net(seen.unsqueeze(0)))[0]
