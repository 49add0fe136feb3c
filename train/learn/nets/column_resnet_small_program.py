"""The small net of `column-resnet` as it is played: a convolution computes one new column a hop.

It keeps the two columns before it in the state. That is zeros at the start, which must mean silence, and what
a layer makes of silence is not zero. Hence the state holds *deviations from what silence gives*, and the
constants that silence gives are part of the biases: exact, since a convolution is linear.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu
from torch.nn.utils.fusion import fuse_conv_bn_weights

from train.learn.nets.column_resnet_small import (
    BINS_A_PLACE,
    COLUMNS_AT_ONCE,
    SEEN_BINS,
    TIME,
    Block,
    SmallResNet,
)
from train.learn.nets.targets import magnitudes


class CachedConvolution(nn.Module):
    """A convolution, its batch norm, a skip and ReLU, on deviations from silence.

    One column at a time, [places, inputs] -> [places, outputs]; the newest three [places, 3, inputs] are the
    state. All taps over frequency are one matrix product, whose results are then added a `spread` apart: so
    nothing needs to be gathered first.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, spread: int, silence: Tensor, skipped: Tensor, absolute: bool
    ) -> None:
        """Set up a layer from `weight` [outputs, inputs, 3, taps] and `bias` [outputs] or [outputs, places].

        `silence` [places, inputs] is the input that deviations are from, `skipped` [places, outputs] the same
        of the skip. `absolute`: the output is no deviation, but itself.
        """
        super().__init__()
        self.outputs, self.inputs, _, self.taps = weight.shape
        self.spread = spread
        # rows (column, input), columns (tap, output)
        self.register_buffer(
            "weight", weight.permute(2, 1, 3, 0).reshape(TIME * self.inputs, -1).contiguous()
        )
        self.register_buffer("bias", torch.zeros(silence.shape[0], self.outputs))
        steady = silence[:, None].expand(-1, TIME, -1).flatten(1)  # silence has lasted
        pre = self._spread_out(steady @ self.weight) + bias.reshape(self.outputs, -1).t() + skipped
        self.bias.copy_(pre)
        self.silence = relu(pre)  # of the next layer
        self.register_buffer("rest", torch.zeros_like(pre) if absolute else relu(pre))

    def _spread_out(self, products: Tensor) -> Tensor:
        """Sum [..., places, outputs] of the taps of products [..., places, taps * outputs], and the bias."""
        if self.taps == 1:
            return products + self.bias
        d, (below, own, above) = self.spread, products.split(self.outputs, -1)
        out = own + self.bias
        if d < out.shape[-2]:
            out[..., d:, :] += below[..., :-d, :]
            out[..., :-d, :] += above[..., d:, :]
        return out

    def forward(self, newest: Tensor, history: Tensor, skip: Tensor | None) -> Tensor:
        """One column; `history` [places, 3, inputs] is advanced in place."""
        for age in range(2):
            history[:, age] = history[:, age + 1]
        history[:, 2] = newest
        out = self._spread_out(torch.mm(history.flatten(1), self.weight))
        if skip is not None:
            out += skip
        return out.relu_().sub_(self.rest)

    @torch.jit.export
    def offline(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """All columns [T, places, inputs] -> [T, places, outputs], silence before the first."""
        late = torch.cat([x.new_zeros(2, x.shape[1], x.shape[2]), x])
        three = torch.cat([late[:-2], late[1:-1], late[2:]], 2)  # [T, places, 3 * inputs]
        out = self._spread_out(torch.matmul(three, self.weight))
        if skip is not None:
            out += skip
        return out.relu_().sub_(self.rest)


class BlockProgram(nn.Module):
    """A residual block, one column at a time; its state is that of two convolutions."""

    def __init__(self, block: Block, silence: Tensor) -> None:
        super().__init__()
        spread, nothing = block.first.dilation[1], torch.zeros(())
        self.first = CachedConvolution(
            *_fused(block.first, block.norm_first), spread, silence, nothing, False
        )
        self.second = CachedConvolution(
            *_fused(block.second, block.norm_second), spread, self.first.silence, silence, False
        )
        self.late = 2 if block.centred else 0  # columns by which the skip is

    def forward(self, x: Tensor, histories: Tensor) -> Tensor:
        """One column [places, width]; `histories` [2, places, 3, width] is advanced in place."""
        y = self.first(x, histories[0], None)
        return self.second(y, histories[1], histories[0][:, 2 - self.late])

    @torch.jit.export
    def offline(self, x: Tensor) -> Tensor:
        """All columns [T, places, width], silence before the first."""
        before = x.new_zeros(self.late, x.shape[1], x.shape[2])
        skip = torch.cat([before, x])[: x.shape[0]]
        return self.second.offline(self.first.offline(x, None), skip)


def _fused(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and the batch norm after it."""
    assert norm.running_mean is not None and norm.running_var is not None
    statistics = (norm.running_mean, norm.running_var, norm.eps)
    weight, bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, *statistics, norm.weight, norm.bias
    )
    return weight.detach(), bias.detach()


class SmallResNetProgram(nn.Module):
    """The small net as it is played; `state_size` floats of state, all zeros at the start."""

    @torch.no_grad()
    def __init__(self, net: SmallResNet) -> None:
        super().__init__()
        net = copy.deepcopy(net).eval()
        self.bins, self.places, self.window = net.bins, net.places, net.window
        self.width, self.time, self.at_once = net.stem.out_channels, TIME, COLUMNS_AT_ONCE
        self.seen, self.step_bins = SEEN_BINS, BINS_A_PLACE
        self.edge = SEEN_BINS // 2
        self.levels = net.levels
        self.register_buffer("quiet", net.levels(net.levels.weighted(torch.zeros(net.bins))))
        nothing = torch.zeros(())
        weight, bias = _fused(net.stem, net.norm_stem)
        # The bins of a place are its inputs: a convolution of one tap.
        weight = weight[:, 0].transpose(1, 2)[..., None]  # [width, 9, 3, 1]
        bias = bias[:, None] + net.whereabouts.detach()[:, 0]
        self.stem = CachedConvolution(weight, bias, 0, self._seen(self.quiet[None])[0], nothing, False)
        self.blocks = nn.ModuleList()
        silence = self.stem.silence
        for block in net.blocks:
            assert isinstance(block, Block)
            program = BlockProgram(block, silence)
            self.blocks.append(program)
            silence = program.second.silence
        self.join = CachedConvolution(*_fused(net.join, net.norm_join), 1, silence, nothing, True)
        self.register_buffer("head", net.head.weight.detach()[:, :, 0, 0].t().contiguous())  # [width, 4]
        self.register_buffer("bias", net.bias.detach().clone())
        self.layer = self.places * TIME * self.width  # floats that a convolution keeps
        self.state_size = self.places * TIME * SEEN_BINS + (2 * len(self.blocks) + 1) * self.layer

    def _seen(self, levels: Tensor) -> Tensor:
        """Return the input of each place [T, places, 9], from levels [T, bins], nothing beyond their ends."""
        return pad(levels, [self.edge, self.edge + self.step_bins]).unfold(1, self.seen, self.step_bins)[
            :, : self.places
        ]

    def _inputs(self, columns: Tensor) -> Tensor:
        """Deviations from silence [T, places, 9] of columns [T, 1, bins, 2]."""
        return self._seen(self.levels(self.levels.weighted(magnitudes(columns[:, 0]))) - self.quiet)

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Mask [1, bins] of the window that ends with this column [1, bins, 2]."""
        first = self.places * self.time * self.seen
        history = state[:first].view(self.places, self.time, self.seen)
        x = self.stem(self._inputs(column.unsqueeze(0))[0], history, None)
        shape = [2, self.places, self.time, self.width]
        for block in self.blocks:
            x = block(x, state[first : first + 2 * self.layer].view(shape))
            first += 2 * self.layer
        x = self.join(x, state[first:].view(shape[1:]), None)
        logits = torch.mm(x, self.head).flatten()[: self.bins] + self.bias
        return torch.sigmoid(logits).unsqueeze(0)

    @torch.jit.export
    def offline(self, columns: Tensor) -> Tensor:
        """Masks [T, 1, bins] of columns [T, 1, bins, 2], from a zero state."""
        steps, before = columns.shape[0], self.window - 1
        masks: list[Tensor] = []
        for first in range(0, steps, self.at_once):
            start = max(0, first - before)
            x = self.stem.offline(self._inputs(columns[start : first + self.at_once]), None)
            for block in self.blocks:
                x = block.offline(x)
            x = self.join.offline(x, None)[first - start :]
            logits = torch.matmul(x, self.head).flatten(1)[:, : self.bins] + self.bias
            masks.append(torch.sigmoid(logits).unsqueeze(1))
        return torch.cat(masks)
