"""The `causal` net as it is played: one column at a time, matrix products only, state in one flat tensor.

`step` and `offline` follow the model contract (`rtsep.model.contract`). Convolutions over frequency are
matrix products over windows of rows [bins, channels]: a kernel that halves sees two pairs of rows, a product
each and no copy. Weights of norms are folded into the matrices behind them: called once a hop, each operation
costs some 5 us of cold caches alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pad, silu

from train.nets.causal_net import ENDS, FEATURES, MASKS, UP, Block, CausalNet
from train.nets.relative import FLOOR, LEVEL_FLOOR, level_of_late


def _rows(conv: nn.Conv1d) -> Tensor:
    """The kernel of a convolution for windows of rows: [size * channels in, channels out]."""
    return conv.weight.detach().permute(2, 1, 0).flatten(0, 1).contiguous()


class BlockProgram(nn.Module):
    """One block on one step's bands [K, D], its recurrent state [K, E] advanced in place."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.dim = block.back.out_features
        self.width = block.back.in_features
        gates = block.gates.weight.t()  # [D, 3E]
        parts = {
            "gates": block.norm_time.weight[:, None] * gates,
            "gates_bias": block.gates.bias + block.norm_time.bias @ gates,
            "back": block.back.weight.t(),  # [E, D]
            "spread": block.spread.weight,  # [M, K]
            "spread_bias": block.spread.bias[:, None],
            "gather": block.gather.weight,  # [K, M]
        }
        for name, value in parts.items():
            self.register_buffer(name, value.detach().clone().contiguous())

    def forward(self, h: Tensor, hidden: Tensor) -> Tensor:
        """One step: h [K, D] -> [K, D], hidden [K, E] in place."""
        pre = torch.addmm(self.gates_bias, layer_norm(h, [self.dim]), self.gates)
        forget, candidate, gate = pre.split(self.width, 1)
        torch.lerp(candidate, hidden, torch.sigmoid(forget), out=hidden)
        h = torch.addmm(h, hidden * silu(gate), self.back)
        mixed = torch.addmm(self.spread_bias, self.spread, layer_norm(h, [self.dim])).relu_()  # [M, D]
        return torch.addmm(h, self.gather, mixed)

    @torch.jit.export
    def offline(self, h: Tensor) -> Tensor:
        """All steps at once from a zero state: [K, T, D] -> [K, T, D]."""
        bands, steps = h.shape[0], h.shape[1]
        pre = torch.matmul(layer_norm(h, [self.dim]), self.gates) + self.gates_bias
        forget = torch.sigmoid(pre[:, :, : self.width])
        new = (1 - forget) * pre[:, :, self.width : 2 * self.width]
        hidden = h.new_zeros(bands, self.width)
        memory = h.new_empty(bands, steps, self.width)
        for t in range(steps):
            hidden = torch.addcmul(new[:, t], forget[:, t], hidden)
            memory[:, t] = hidden
        h = h + torch.matmul(memory * silu(pre[:, :, 2 * self.width :]), self.back)
        n = layer_norm(h, [self.dim]).flatten(1)
        mixed = torch.addmm(self.spread_bias, self.spread, n).relu_()
        return h + torch.mm(self.gather, mixed).view(bands, steps, self.dim)


class DownProgram(nn.Module):
    """Half as many rows: [F, C] -> [F / 2, D], or [T, F, C] at once."""

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.channels = 2 * conv.in_channels  # of a pair of rows
        lower, upper = _rows(conv).split(self.channels)
        for name, value in {"lower": lower, "upper": upper, "bias": conv.bias}.items():
            assert value is not None
            self.register_buffer(name, value.detach().clone().contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """One step."""
        pairs = pad(x, [0, 0, 1, 1]).view(
            -1, self.channels
        )  # the last row of one bin pair, the first of the next
        return torch.addmm(torch.addmm(self.bias, pairs[:-1], self.lower), pairs[1:], self.upper).relu_()

    @torch.jit.export
    def offline(self, x: Tensor) -> Tensor:
        """All steps at once."""
        pairs = pad(x, [0, 0, 1, 1]).view(x.shape[0], -1, self.channels)
        y = torch.matmul(pairs[:, :-1], self.lower) + torch.matmul(pairs[:, 1:], self.upper)
        return y.add_(self.bias).relu_()


class UpProgram(nn.Module):
    """Twice as many rows, joined by those of the way down: [F, D], [2 F, C] -> [2 F, C], or [T, ...]."""

    def __init__(self, conv: nn.Conv1d, norm: nn.LayerNorm | None = None) -> None:
        super().__init__()
        self.size = conv.kernel_size[0]
        weight, bias = _rows(conv), conv.bias
        assert bias is not None
        if norm is not None:  # its weights, those of the norm before a kernel of one row
            weight, bias = norm.weight[:, None] * weight, bias + norm.bias @ weight
        self.register_buffer("weight", weight.detach().clone().contiguous())
        self.register_buffer("bias", bias.detach().clone())

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """One step."""
        if self.size > 1:
            p = pad(x, [0, 0, 1, 1])
            x = torch.cat([p[:-2], x, p[2:]], 1)
        return torch.addmm(self.bias, x, self.weight).view_as(skip).add_(skip).relu_()

    @torch.jit.export
    def offline(self, x: Tensor, skip: Tensor) -> Tensor:
        """All steps at once."""
        if self.size > 1:
            p = pad(x, [0, 0, 1, 1])
            x = torch.cat([p[:, :-2], x, p[:, 2:]], 2)
        return (torch.matmul(x, self.weight) + self.bias).view_as(skip).add_(skip).relu_()


class CausalProgram(nn.Module):
    """The whole net; `state_size` floats of state, zeros at the start: level, columns heard, memories.

    The level is kept as two sums, of powers and of their weights.
    """

    def __init__(self, net: CausalNet) -> None:
        super().__init__()
        c = net.system
        assert all(conv.kernel_size[0] in (1, UP) for conv in net.up)  # type: ignore[index,union-attr]
        self.bins, self.pooled, self.bands, self.dim, self.width = (
            c.framing.bins,
            c.pooled,
            c.bands,
            c.dim,
            c.width,
        )
        self.heard = FEATURES * (c.taps - 1)  # features of earlier columns, a bin
        self.memories = 2 + c.pooled * self.heard  # where the memories begin in the state
        self.state_size = self.memories + c.layers * c.bands * c.width
        # TorchScript sees no globals.
        self.features_per_bin, self.masks, self.ends = FEATURES, MASKS, ENDS
        self.floor, self.level_floor, self.keep = FLOOR, LEVEL_FLOOR, c.keep
        self.pool: list[tuple[int, int]] = [(bins, factor) for bins, factor in c.pool]
        # Left, right, mid and side from mid and side.
        self.register_buffer("listen", torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0], [0.0, 1.0]]))
        scale = net.scale.detach()[:, None].contiguous()  # [features, 1, pooled]
        self.register_buffer("feature_scale", scale)
        self.register_buffer("feature_shift", -net.mean.detach()[:, None] * scale)
        assert net.first.bias is not None and net.last.bias is not None
        self.register_buffer("first", _rows(net.first))
        first_bias = net.first.bias.detach() + net.first_place.detach().t()  # [pooled, C]
        self.register_buffer("first_bias", first_bias.contiguous())
        self.register_buffer("last", _rows(net.last))
        last_bias = net.last.bias.detach() + net.last_place.detach().t()  # [pooled, masks]
        self.register_buffer("last_bias", last_bias.contiguous())
        self.register_buffer("one", torch.ones(()))
        self.register_buffer("place", torch.tensor(c.place))
        self.down = nn.ModuleList(DownProgram(conv) for conv in net.down)  # type: ignore[arg-type]
        self.blocks = nn.ModuleList(BlockProgram(block) for block in net.blocks)  # type: ignore[arg-type]
        self.up = nn.ModuleList(
            UpProgram(conv, None if i else net.norm)  # type: ignore[arg-type]
            for i, conv in enumerate(net.up)
        )

    def powers(self, columns: Tensor) -> Tensor:
        """Powers of left, right, mid, side [4, T, bins] of columns [2, T, bins, 2]."""
        steps = columns.shape[1]
        four = torch.mm(self.listen, columns.flatten(1)).view(self.features_per_bin, steps, self.bins, 2)
        return torch.addcmul(four[..., 0].square(), four[..., 1], four[..., 1])

    def features(self, powers: Tensor, level: Tensor) -> Tensor:
        """Normalised log powers [4, T, pooled] of powers [4, T, bins] against the level [T]."""
        parts: list[Tensor] = []
        first = 0
        for bins, factor in self.pool:
            part = powers[:, :, first : first + bins]
            parts.append(part if factor == 1 else part.unflatten(2, [-1, factor]).mean(3))
            first += bins
        pooled = torch.cat(parts, 2).div_((level + self.level_floor)[:, None]).add_(self.floor).log_()
        return torch.addcmul(self.feature_shift, pooled, self.feature_scale)

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Mask [2, bins] of a column [2, bins, 2]; `state` [state_size] is advanced in place."""
        powers = self.powers(column.unsqueeze(1))
        level = state[:2].mul_(self.keep).add_(torch.stack([powers[:2].mean(), self.one]))
        new = self.features(powers, level[:1] / level[1:]).squeeze(1).t()  # [pooled, 4]
        heard = state[2 : self.memories].view(self.pooled, self.heard)
        seen = torch.cat([heard, new], 1)
        heard.copy_(seen[:, self.features_per_bin :])
        windows = pad(seen, [0, 0, 2, 2]).unfold(0, self.ends, 1).transpose(1, 2).reshape(self.pooled, -1)
        x = torch.addmm(self.first_bias, windows, self.first).relu_()
        skips: list[Tensor] = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        hidden = state[self.memories :].view(-1, self.bands, self.width)
        layer = 0
        for block in self.blocks:
            x = block(x, hidden[layer])
            layer += 1  # noqa: SIM113 TorchScript cannot enumerate modules
        x = layer_norm(x, [self.dim])
        for up in self.up:
            x = up(x, skips.pop())
        windows = pad(x, [0, 0, 2, 2]).unfold(0, self.ends, 1).transpose(1, 2).reshape(self.pooled, -1)
        masks = torch.sigmoid(torch.addmm(self.last_bias, windows, self.last))  # [pooled, masks]
        return masks.t().index_select(1, self.place)

    @torch.jit.export
    def offline(self, columns: Tensor) -> Tensor:
        """Masks [T, 2, bins] of columns [T, 2, bins, 2], from a zero state."""
        steps = columns.shape[0]
        powers = self.powers(columns.transpose(0, 1))
        level = level_of_late(powers[:2].mean([0, 2]), self.keep)
        new = self.features(powers, level).permute(1, 2, 0)  # [T, pooled, 4]
        past = pad(new, [0, 0, 0, 0, self.heard // self.features_per_bin, 0])
        taps = self.heard // self.features_per_bin + 1
        seen = torch.cat([past[tap : tap + steps] for tap in range(taps)], 2)
        x = (torch.matmul(self.windows(seen), self.first) + self.first_bias).relu_()
        skips: list[Tensor] = []
        for down in self.down:
            skips.append(x)
            x = down.offline(x)
        h = x.transpose(0, 1).contiguous()  # [bands, T, dim]
        for block in self.blocks:
            h = block.offline(h)
        x = layer_norm(h, [self.dim]).transpose(0, 1).contiguous()
        for up in self.up:
            x = up.offline(x, skips.pop())
        masks = torch.sigmoid(torch.matmul(self.windows(x), self.last) + self.last_bias)  # [T, pooled, masks]
        return masks.transpose(1, 2).index_select(2, self.place)

    def windows(self, x: Tensor) -> Tensor:
        """Windows of rows [T, pooled, ends * C] of [T, pooled, C]."""
        p = pad(x, [0, 0, 2, 2])
        return torch.cat([p[:, k : k + self.pooled] for k in range(self.ends)], 2)
