"""The `causal` net as it is played: one column at a time, matrix products only, state in one flat tensor.

`step` and `offline` follow the model contract (`rtsep.model.contract`). Convolutions over frequency are
matrix products over rows [bins, channels]: a kernel that halves sees two pairs of rows, a product each and no
copy. Weights of norms are folded into the matrices behind them.

Called once a hop, an operation costs some 3 us of cold caches before it computes anything. So a step has few
of them, and each writes where the next one reads (`Work`), beside zeros that stay where a convolution needs
them. With a place to write to, `addmm` is one operation: else TorchScript splits it into a product and a sum.
"""

from typing import NamedTuple, Optional

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pad, silu

from train.learn.nets.causal_ears import EDGE, Ears
from train.learn.nets.causal_net import ENDS, MASKS, UP, Block, CausalNet
from train.learn.nets.workspace import lay_out, windows_of_rows


class BlockWork(NamedTuple):
    """The memory that a block writes to."""

    pre: Tensor  # [K, 3 E]: the three behind it in one
    forget: Tensor
    candidate: Tensor
    gate: Tensor
    passed: Tensor  # [K, E]
    mixed: Tensor  # [M, D]


class Resolution(NamedTuple):
    """The rows [F, C] of one resolution, and the views of its neighbours on them."""

    rows: Tensor
    # Combinations of rows x, with zeros beyond both ends; k: row of the result.
    pairs: Tensor  # x[2k], x[2k + 1]: [F / 2, 2 C]
    lower: Tensor  # x[2k - 1], x[2k]
    upper: Tensor  # x[2k + 1], x[2k + 2]
    threes: Tensor  # x[k - 1], x[k], x[k + 1]: [F, 3 C]
    threes_copied: Tensor


class Work(NamedTuple):
    """The memory that a step writes to; see `train.learn.nets.workspace`."""

    features: Tensor  # output of the ears [4 * taps, ENDS, pooled]
    feature_rows: Tensor  # the same as rows [pooled, 4 * taps * ENDS]
    resolutions: list[Resolution]  # from the pooled bins down, the bands left out
    bands: Tensor  # [K, D]
    block: BlockWork
    wide: Tensor  # the first resolution and the zeros beside it [C, pooled + 2 EDGE]
    products: Tensor  # of those with each place of the last kernel [ENDS * MASKS, pooled + 2 EDGE]
    shifted: Tensor  # those of them that form a mask [ENDS, MASKS, pooled]
    masks: Tensor  # [MASKS, pooled]


def resolution(padded: Tensor, edge: int, scratch: Tensor) -> Resolution:
    """Rows with `edge` zeros on either side, as their neighbours read them; copies go to `scratch`."""
    count, channels = padded.shape[0] - 2 * edge, padded.shape[1]
    rows = padded[edge : edge + count]
    near = padded[edge - 1 : edge + count + 1]
    shifted, threes = near.view(-1, 2 * channels), windows_of_rows(near, 3)
    copied = scratch[: threes.numel()].view(count, -1)
    return Resolution(rows, rows.view(-1, 2 * channels), shifted[:-1], shifted[1:], threes, copied)


def _rows(conv: nn.Conv1d) -> Tensor:
    """The kernel of a convolution for windows of rows: [size * channels in, channels out]."""
    return conv.weight.detach().permute(2, 1, 0).flatten(0, 1).contiguous()


class BlockProgram(nn.Module):
    """One block on one step's bands [K, D] and its recurrent state [K, E], both advanced in place."""

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

    def forward(self, h: Tensor, hidden: Tensor, w: BlockWork) -> None:
        """One step: h [K, D] and hidden [K, E] in place."""
        torch.addmm(self.gates_bias, layer_norm(h, [self.dim]), self.gates, out=w.pre)
        torch.lerp(w.candidate, hidden, w.forget.sigmoid_(), out=hidden)
        torch.mul(hidden, silu(w.gate, inplace=True), out=w.passed)
        torch.addmm(h, w.passed, self.back, out=h)
        torch.addmm(self.spread_bias, self.spread, layer_norm(h, [self.dim]), out=w.mixed).relu_()
        torch.addmm(h, self.gather, w.mixed, out=h)

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

    def forward(self, x: Resolution, out: Tensor) -> None:
        """One step: pairs of rows that a kernel begins with, those that it ends with -> `out` [F / 2, D]."""
        torch.addmm(self.bias, x.lower, self.lower, out=out)
        torch.addmm(out, x.upper, self.upper, out=out).relu_()

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

    def forward(self, x: Tensor, pairs: Tensor) -> None:
        """One step: rows, each with what the kernel sees of its neighbours, to `pairs` [F, 2 C] in place."""
        torch.addmm(pairs, x, self.weight, out=pairs).add_(self.bias).relu_()

    @torch.jit.export
    def offline(self, x: Tensor, skip: Tensor) -> Tensor:
        """All steps at once."""
        if self.size > 1:
            p = pad(x, [0, 0, 1, 1])
            x = torch.cat([p[:, :-2], x, p[:, 2:]], 2)
        return (torch.matmul(x, self.weight) + self.bias).view_as(skip).add_(skip).relu_()


class CausalProgram(nn.Module):
    """The whole net; `state_size` floats of state, zeros at the start: those of the ears, memories."""

    laid: Optional[Work]  # noqa: UP045 TorchScript reads it

    def __init__(self, net: CausalNet) -> None:
        super().__init__()
        c, self.laid = net.system, None
        assert all(conv.kernel_size[0] in (1, UP) for conv in net.up)  # type: ignore[index,union-attr]
        assert net.first.bias is not None and net.last.bias is not None
        self.ears = Ears(c, net.mean, net.scale)
        self.pooled, self.bands, self.dim, self.width = c.pooled, c.bands, c.dim, c.width
        self.widths, self.spread = list(c.widths), c.spread
        self.state_sizes = [*self.ears.state_sizes, *c.layers * [c.bands * c.width]]
        self.state_size = sum(self.state_sizes)
        self.of_ears = len(self.ears.state_sizes)
        self.masks, self.ends, self.edge = MASKS, ENDS, EDGE  # TorchScript has no access to globals
        self.register_buffer("space", torch.zeros(0))
        self.register_buffer("place", torch.tensor(c.place))
        self.register_buffer("first", net.first.weight.detach().flatten(1).t().contiguous())
        first_bias = net.first.bias.detach() + net.first_place.detach().t()  # [pooled, C]
        self.register_buffer("first_bias", first_bias.contiguous())
        last = net.last.weight.detach().permute(2, 0, 1).flatten(0, 1)  # [ENDS * MASKS, C]
        self.register_buffer("last", last.contiguous())
        last_bias = torch.zeros(ENDS * MASKS, c.pooled + 2 * EDGE)  # all of it in the kernel's first place
        last_bias[:MASKS, : c.pooled] = net.last.bias.detach()[:, None] + net.last_place.detach()
        self.register_buffer("last_bias", last_bias)
        self.down = nn.ModuleList(DownProgram(conv) for conv in net.down)  # type: ignore[arg-type]
        self.blocks = nn.ModuleList(BlockProgram(block) for block in net.blocks)  # type: ignore[arg-type]
        self.up = nn.ModuleList(
            UpProgram(conv, None if i else net.norm)  # type: ignore[arg-type]
            for i, conv in enumerate(net.up)
        )
        self.lay_out()  # `space` gets its size

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Mask [2, bins] of a column [2, bins, 2]; `state` [state_size] is advanced in place."""
        parts = torch.split_with_sizes(state, self.state_sizes)
        w = self.work()
        w.features.copy_(self.ears(column, parts[: self.of_ears]))
        torch.addmm(self.first_bias, w.feature_rows, self.first, out=w.resolutions[0].rows).relu_()
        level = 0
        for down in self.down:
            below = w.resolutions[level + 1].rows if level + 1 < len(w.resolutions) else w.bands
            down(w.resolutions[level], below)
            level += 1
        layer = self.of_ears
        for block in self.blocks:
            block(w.bands, parts[layer].view(self.bands, self.width), w.block)
            layer += 1
        x = layer_norm(w.bands, [self.dim])
        for up in self.up:
            level -= 1
            above = w.resolutions[level]
            up(x, above.pairs)
            if level > 0:
                x = above.threes_copied.copy_(above.threes)
        torch.addmm(self.last_bias, self.last, w.wide, out=w.products)
        torch.sum(w.shifted, [0], out=w.masks)
        return w.masks.sigmoid_().index_select(1, self.place)

    @torch.jit.export
    def offline(self, columns: Tensor) -> Tensor:
        """Masks [T, 2, bins] of columns [T, 2, bins, 2], from a zero state."""
        seen = pad(self.ears.offline(columns), [self.edge, self.edge])
        windows = seen.unfold(2, self.ends, 1).transpose(1, 2).flatten(2)  # [T, pooled, 4 * taps * ENDS]
        x = (torch.matmul(windows, self.first) + self.first_bias).relu_()
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
        wide = pad(x, [0, 0, self.edge, self.edge]).transpose(1, 2)
        products = (torch.matmul(self.last, wide) + self.last_bias).unflatten(1, [self.ends, self.masks])
        masks = products[:, 0, :, : self.pooled]
        for place in range(1, self.ends):
            masks = masks + products[:, place, :, place : place + self.pooled]
        return torch.sigmoid(masks).index_select(2, self.place)

    def work(self) -> Work:
        """The memory to write to: laid out at the first step, in Python at each step."""
        laid = self.laid
        if laid is None:
            laid = self.lay_out()
            if torch.jit.is_scripting():
                self.laid = laid
        return laid

    def lay_out(self) -> Work:
        """Lay out the memory of a step. What is read at once after it was written shares the last piece."""
        high, inputs = self.pooled + 2 * self.edge, self.first.shape[0]
        shapes = [[self.ends * self.masks, high], [self.masks, self.pooled], [self.bands, self.dim]]
        gates, passed, mixed = 3 * self.bands * self.width, self.bands * self.width, self.spread * self.dim
        shared = max(inputs * self.pooled, gates + passed + mixed)
        levels, edge = len(self.widths) - 1, self.edge
        for level in range(levels):
            count, channels = self.pooled >> level, self.widths[level]
            shapes.append([count + 2 * edge, channels])
            shared = max(shared, 3 * count * channels)
            edge = 1  # of all but the first
        shapes.append([shared])
        memory = lay_out(self.space, shapes)
        products, masks, bands, wide, scratch = memory[0], memory[1], memory[2], memory[3], memory[-1]
        resolutions = [resolution(wide, self.edge, scratch)]
        for level in range(1, levels):
            resolutions.append(resolution(memory[3 + level], 1, scratch))
        features = scratch[: inputs * self.pooled]
        pre = scratch[:gates].view(self.bands, -1)
        forget, candidate, gate = pre.split(self.width, 1)
        passing = scratch[gates : gates + passed].view(self.bands, -1)
        mixing = scratch[gates + passed : gates + passed + mixed].view(self.spread, -1)
        across = [self.masks * high + 1, high, 1]  # to the kernel's next place, and to the next bin with it
        return Work(
            features=features.view(-1, self.ends, self.pooled),
            feature_rows=features.view(-1, self.pooled).t(),
            resolutions=resolutions, bands=bands,
            block=BlockWork(pre, forget, candidate, gate, passing, mixing), wide=wide.t(),
            products=products, shifted=products.as_strided([self.ends, self.masks, self.pooled], across),
            masks=masks,
        )  # fmt: skip
