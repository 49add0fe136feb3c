"""The input features of `causal` in streaming form: log powers of a column and of those before it.

Left, right, mid and side against the level of late, neighbouring bins pooled (`CausalSizes.features` is the
form that trains). What pooling divides by is in the floor and in the shift: a division less.
"""

from typing import NamedTuple, Optional

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from train.learn.nets.causal_net import ENDS, FEATURES, CausalSizes
from train.learn.nets.relative import FLOOR, LEVEL_FLOOR, level_of_late
from train.learn.nets.workspace import lay_out

EDGE = ENDS // 2
"""Zeros beside the pooled bins on either side: what the first convolution sees there."""


class Hearing(NamedTuple):
    """The memory that a step writes to; see `train.learn.nets.workspace`."""

    left: Tensor  # [bins, 2]
    right: Tensor
    left_right: Tensor  # both [2, bins, 2]
    squares_left_right: Tensor  # [2, bins, 2]
    squares_mid_side: Tensor
    squares: Tensor  # of mid and side, in one row
    parts: list[Tensor]  # squares of all four, as they are pooled: [4, pooled bins, 2 * factor]
    sums: list[Tensor]  # of them: [4, pooled bins]
    powers: Tensor  # all sums [4, pooled]
    power: Tensor  # of the column [1]
    level: Tensor  # [1]
    old: Tensor  # features of the columns before and the zeros beside them, in one row
    new: Tensor  # of this one [4, pooled]
    next_old: Tensor  # those that the next step needs, in one row
    windows: Tensor  # all features, each with its neighbours: [4 * taps, ENDS, pooled]


class Ears(nn.Module):
    """Features of the newest `taps` columns.

    State, in parts of `state_sizes`: sum of powers, sum of their weights, features of the columns before with
    the zeros beside them, so that one copy moves them.
    """

    laid: Optional[Hearing]  # noqa: UP045 TorchScript reads it

    def __init__(self, sizes: CausalSizes, mean: Tensor, scale: Tensor) -> None:
        """Take the normalisation `mean`, `scale` [4, pooled] of the features."""
        super().__init__()
        c, self.laid = sizes, None
        self.bins, self.pooled, self.taps, self.keep = c.framing.bins, c.pooled, c.taps, c.keep
        self.pool: list[tuple[int, int]] = [(bins, factor) for bins, factor in c.pool]
        self.features, self.edge, self.ends = FEATURES, EDGE, ENDS  # TorchScript has no access to globals
        self.state_sizes = [1, 1, (c.taps - 1) * FEATURES * (c.pooled + 2 * EDGE)]
        factors = torch.cat([torch.full((bins // factor,), float(factor)) for bins, factor in c.pool])
        parts = {
            "floor": FLOOR * factors,
            "level_floor": torch.tensor([LEVEL_FLOOR]),
            "weight": torch.tensor([float(c.framing.bins)]),  # of a column in the level
            "scale": scale,
            "shift": -(mean + factors.log()) * scale,
            "space": torch.zeros(0),
        }
        for name, value in parts.items():
            self.register_buffer(name, value.detach().clone())
        self.lay_out()  # `space` gets its size

    def forward(self, column: Tensor, state: list[Tensor]) -> Tensor:
        """Windows [4 * taps, ENDS, pooled] of features, the oldest first; parts of the state are advanced."""
        w = self.hearing()
        power, weight, old = state[0], state[1], state[2]
        mid, side = column[0], column[1]
        torch.add(mid, side, out=w.left)
        torch.sub(mid, side, out=w.right)
        torch.mul(w.left_right, w.left_right, out=w.squares_left_right)
        torch.mul(column, column, out=w.squares_mid_side)
        for i in range(len(w.parts)):
            torch.sum(w.parts[i], [2], out=w.sums[i])
        # Left and right have twice the power of mid and side: its mean is that of both over their bins.
        torch.sum(w.squares, [0], keepdim=True, out=w.power)
        torch.add(w.power, power, alpha=self.keep, out=power)
        torch.add(self.weight, weight, alpha=self.keep, out=weight)
        torch.addcdiv(self.level_floor, power, weight, out=w.level)
        torch.addcdiv(self.floor, w.powers, w.level, out=w.powers).log_()
        w.old.copy_(old)
        torch.addcmul(self.shift, w.powers, self.scale, out=w.new)
        old.copy_(w.next_old)
        return w.windows

    @torch.jit.export
    def offline(self, columns: Tensor) -> Tensor:
        """Features [T, 4 * taps, pooled] of columns [T, 2, bins, 2], from a zero state."""
        steps, mid, side = columns.shape[0], columns[:, 0], columns[:, 1]
        squares = torch.stack([mid + side, mid - side, mid, side], 1).square_()  # [T, 4, bins, 2]
        level = level_of_late(squares[:, 2:].sum([1, 2, 3]) / self.bins, self.keep)
        sums: list[Tensor] = []
        first = 0
        for bins, factor in self.pool:
            sums.append(squares[:, :, first : first + bins].unflatten(2, [-1, factor]).sum([3, 4]))
            first += bins
        powers = torch.cat(sums, 2).div_((level + self.level_floor)[:, None, None]).add_(self.floor).log_()
        new = torch.addcmul(self.shift, powers, self.scale)
        past = pad(new, [0, 0, 0, 0, self.taps - 1, 0])
        return torch.cat([past[tap : tap + steps] for tap in range(self.taps)], 1)

    def hearing(self) -> Hearing:
        """The memory to write to: laid out at the first step, in Python at each step."""
        laid = self.laid
        if laid is None:
            laid = self.lay_out()
            if torch.jit.is_scripting():
                self.laid = laid
        return laid

    def lay_out(self) -> Hearing:
        """Lay out the memory of a step."""
        rows, length = self.features * self.taps, self.edge + self.pooled + self.edge
        both, squares, powers, power, level, seen = lay_out(self.space, [
            [2, self.bins, 2], [self.features, self.bins, 2], [self.features, self.pooled], [1], [1],
            [rows, length],
        ])  # fmt: skip
        parts: list[Tensor] = []
        sums: list[Tensor] = []
        first, first_sum = 0, 0
        for bins, factor in self.pool:
            part = squares[:, first : first + bins]
            parts.append(part.view(self.features, bins // factor, 2 * factor))
            sums.append(powers[:, first_sum : first_sum + bins // factor])
            first, first_sum = first + bins, first_sum + bins // factor
        before = (rows - self.features) * length
        return Hearing(
            left=both[0], right=both[1], left_right=both,
            squares_left_right=squares[:2], squares_mid_side=squares[2:],
            squares=squares[2:].view(2 * self.bins * 2),
            parts=parts, sums=sums, powers=powers, power=power, level=level,
            old=seen[: rows - self.features].view(before), next_old=seen[self.features :].view(before),
            new=seen[rows - self.features :, self.edge : self.edge + self.pooled],
            windows=seen.as_strided([rows, self.ends, self.pooled], [length, 1, 1]),
        )  # fmt: skip
