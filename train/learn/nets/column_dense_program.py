"""The net of `column-dense` as it is played: only what a new column changes is computed, as matrix products.

A window of 100 columns moves by one column a hop, and most of what its layers hold moves with it: away from
the window's ends a convolution's column depends on the columns around it and not on where the window lies.
Such columns are computed once and kept. Next to the ends they differ in every window, for beyond them lie
zeros, not the columns that the stream has there. For p, the place in the window [0, 100), and q, the place
after the first pooling [0, 33):

    layer          same in every window      new each hop, kept after that       new each hop
    convolution 1                                                                0 1 2, 96 .. 99
    convolution 2  p = 2 .. 96               97                                  0 1, 98 (99 is not pooled)
    pooling 1      q = 1 .. 31                                                   0, 32
    convolution 3                                                                0 .. 3, 28 .. 32
    convolution 4  q = 3 .. 28               29                                  0 1 2, 30 31 32

What is kept is one row a hop, in rings as long as the window. Pooling counts from the window's start, so with
every hop its groups begin one column later: rows are kept pooled over bins but not over columns, and the
largest of three is taken again. q advances by 3 columns of the stream: layers 3 and 4 read every third row.

77 M multiplications a hop instead of 715 M. Some columns of convolution 3 could be kept too; unpooled, with
64 channels, they would make the state four times as large and save a tenth of the time.

The window's two ends lie in one tensor, the newest columns first: [newest ..., zeros, oldest ...]. One column
of zeros between them is what both see beyond the window; both ends go through a layer together.

Silence gives rows that are not zero (biases), and a state of zeros must be silence: rows are kept as
differences from those of silence. Leaky rectifiers never fall, so the largest is taken before bias and
rectifier, which leaves a third or a ninth of their work.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, leaky_relu_, linear, max_pool2d

from train.learn.nets.column_dense_net import ColumnDenseNet, levels
from train.learn.nets.targets import magnitudes

CHUNK = 64
"""Steps of `offline` that share one pass over the weights of the dense layers."""


class ColumnDenseProgram(nn.Module):
    """The whole net; `state_size` floats of state, all zeros at the start."""

    def __init__(self, net: ColumnDenseNet) -> None:
        super().__init__()
        self.bins, self.window, self.leak, self.n_fft = net.bins, net.window, net.leak, net.n_fft
        self.chunk = CHUNK  # TorchScript has no access to globals
        self.bins1, self.bins2 = net.bins // 3, net.bins // 9  # after each pooling
        self.columns1, self.columns2 = net.window // 3, net.window // 9
        self.filters: list[int] = [c.out_channels for c in net.convolutions]
        self.row1, self.row2 = self.filters[1] * self.bins1, self.filters[3] * self.bins2
        # Rings [window, ...] of levels (with a zero at both ends, and a row of zeros after the last), of
        # convolution 2 and of convolution 4, both pooled over bins; then the place of the next row.
        self.levels_end = (self.window + 1) * (self.bins + 2)
        self.rows1_end = self.levels_end + self.window * self.row1
        self.rows2_end = self.rows1_end + self.window * self.row2
        self.state_size = self.rows2_end + 1

        weights = [c.weight.detach() for c in net.convolutions]  # [out, in, bins 3, columns 3]
        biases = [c.bias.detach() for c in net.convolutions]
        self.register_buffer("weight1", weights[0].permute(0, 3, 2, 1).reshape(-1, 9).contiguous())
        for layer in (1, 2, 3):
            # [bins 3 * out, columns 3 * in]: one product, then three results are added a bin apart
            taps = weights[layer].permute(2, 0, 3, 1)
            matrix = taps.reshape(3 * taps.shape[1], 3 * taps.shape[3])
            self.register_buffer(f"weight{layer + 1}", matrix.contiguous())
        self.register_buffer("bias1", biases[0][:, None].clone())
        self.register_buffer("bias3", biases[2][:, None].clone())

        silent1, silent2 = _silence(net)
        self.register_buffer("silent1", silent1 - biases[1][:, None])  # [filters, bins1], before the bias
        self.register_buffer("silent2", silent2 - biases[3][:, None])
        self.register_buffer("shift1", silent1)  # factor from a difference to the input of the rectifier
        self.register_buffer("shift2", silent2)

        shape = (-1, self.filters[3], self.bins2, self.columns2)
        hidden = net.hidden.weight.detach().view(shape).permute(0, 3, 1, 2)  # a window's columns first
        self.register_buffer("hidden", hidden.reshape(hidden.shape[0], -1).contiguous())
        self.register_buffer("hidden_bias", net.hidden.bias.detach().clone())
        self.register_buffer("mask", net.mask.weight.detach().clone())
        self.register_buffer("mask_bias", net.mask.bias.detach().clone())

        first, third = self.window - 1, self.columns1  # age of the window's first column; columns of layer 3
        zeros, anything = -1, first
        newest = [4, 3, 2, 1, 0]
        oldest = [first, first - 1, first - 2, first - 3]
        self.register_buffer("levels_at", self._places([*newest, zeros, *oldest]))
        # Groups of three that pooling 1 takes the largest of: q = 27 .. 32, zeros, 0 .. 4. What is special
        # (p = 98; 0 and 1) is put in later.
        newest = [*range(18, 1, -1), anything]
        oldest = [anything, anything, *range(first - 2, first - 15, -1)]
        self.register_buffer("rows1_at", self._places([*newest, *[anything] * 3, *oldest]))
        # Pooling 2: q = 0 .. 32; the first and the last three are put in later.
        kept = [first - 3 * q for q in range(3, third - 3)]
        self.register_buffer("rows2_at", self._places([*[anything] * 3, *kept, *[anything] * 3]))
        self.to(net.mask.weight.device)

    def _places(self, ages: list[int]) -> Tensor:
        """Places in a ring [window, n] of rows of n ages, for each place of the newest; age -1: after it."""
        newest = torch.arange(self.window)[:, None]
        age = torch.tensor(ages)
        return torch.where(age < 0, self.window, (newest - age) % self.window)

    def _add_taps(self, taps: Tensor) -> Tensor:
        """Sum of three taps [K, 3 * C, F], a bin apart, to [K, C, F]; bins beyond both ends are zeros."""
        lower, same, upper = taps.chunk(3, 1)
        last = taps.shape[2] - 1
        same[:, :, 1:] += lower[:, :, :last]
        same[:, :, :last] += upper[:, :, 1:]
        return same

    def _columns(self, h: Tensor, weight: Tensor, out: Tensor) -> None:
        """Taps [K, 3 * out, F] of a convolution over the K + 2 columns h [K + 2, C, F]."""
        count, channels, bins = out.shape[0], h.shape[1], h.shape[2]
        row = channels * bins
        around = h.as_strided([count, 3 * channels, bins], [row, bins, 1])  # overlapping: nothing is copied
        torch.bmm(weight.expand(count, weight.shape[0], weight.shape[1]), around, out=out)

    def _pool_bins(self, h: Tensor) -> Tensor:
        """Largest of every three bins."""
        end = h.shape[2] // 3 * 3
        return torch.maximum(torch.maximum(h[:, :, 0:end:3], h[:, :, 1:end:3]), h[:, :, 2:end:3])

    def _features(self, column: Tensor, state: Tensor, place: int) -> Tensor:
        """Return the input of the dense layers [columns2 * filters * bins2] after the column [1, bins, 2]."""
        bins, window = self.bins, self.window
        c1, c2, c3, c4 = self.filters[0], self.filters[1], self.filters[2], self.filters[3]
        rows = state[: self.levels_end].view(window + 1, bins + 2)
        rows1 = state[self.levels_end : self.rows1_end].view(window, self.row1)
        rows2 = state[self.rows1_end : self.rows2_end].view(window, self.row2)

        rows[place, 1 : bins + 1] = levels(magnitudes(column[0]), self.n_fft)
        x = rows.index_select(0, self.levels_at[place])  # p = 95 .. 99, zeros, 0 .. 3
        around = x.as_strided([8, 3, 3, bins], [bins + 2, bins + 2, 1, 1]).reshape(8, 9, bins)
        h = torch.baddbmm(self.bias1, self.weight1.expand(8, c1, 9), around)
        h = leaky_relu_(h, self.leak)
        h[4].zero_()  # p = 96 .. 99, zeros, 0 .. 2

        taps = h.new_empty(4, 3 * c2, bins)
        self._columns(h[:4], self.weight2, taps[:2])
        self._columns(h[4:], self.weight2, taps[2:])
        new = (self._pool_bins(self._add_taps(taps)) - self.silent1).flatten(1)  # p = 97, 98, 0, 1
        rows1[(place - 2) % window] = new[0]
        rows = rows1.index_select(0, self.rows1_at[place])
        rows[17] = new[1]
        rows[21:23] = new[2:]
        h = rows.view(12, 3, self.row1).amax(1).view(12, c2, self.bins1)
        h = leaky_relu_(h.add_(self.shift1), self.leak)
        h[6].zero_()  # q = 27 .. 32, zeros, 0 .. 4

        taps = h.new_empty(10, 3 * c3, self.bins1)
        self._columns(h[:7], self.weight3, taps[:5])
        self._columns(h[6:], self.weight3, taps[6:])
        taps[5].zero_()
        h = leaky_relu_(self._add_taps(taps) + self.bias3, self.leak)
        h[5].zero_()  # q = 28 .. 32, zeros, 0 .. 3

        taps = h.new_empty(7, 3 * c4, self.bins1)
        self._columns(h[:6], self.weight4, taps[:4])
        self._columns(h[5:], self.weight4, taps[4:])
        new = (self._pool_bins(self._add_taps(taps)) - self.silent2).flatten(1)  # q = 29 .. 32, 0, 1, 2
        rows2[(place - 12) % window] = new[0]
        rows = rows2.index_select(0, self.rows2_at[place])
        rows[:3] = new[4:]
        rows[self.columns1 - 3 :] = new[1:4]
        h = rows.view(self.columns2, 3, self.row2).amax(1).view(self.columns2, c4, self.bins2)
        return leaky_relu_(h.add_(self.shift2), self.leak).flatten()

    def _masks(self, features: Tensor) -> Tensor:
        """Masks [T, bins] of features [T, columns2 * filters * bins2]."""
        hidden = leaky_relu_(linear(features, self.hidden, self.hidden_bias), self.leak)
        return torch.sigmoid(linear(hidden, self.mask, self.mask_bias))

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Mask [1, bins] of a column [1, bins, 2]; `state` [state_size] is advanced in place."""
        place = int(state[self.rows2_end])
        features = self._features(column, state, place)
        state[self.rows2_end] = (place + 1) % self.window
        return self._masks(features.unsqueeze(0))

    @torch.jit.export
    def offline(self, columns: Tensor) -> Tensor:
        """Masks [T, 1, bins] of columns [T, 1, bins, 2], from a zero state."""
        state = columns.new_zeros(self.state_size)
        steps = columns.shape[0]
        masks = columns.new_empty(steps, self.bins)
        features = columns.new_empty(self.chunk, self.columns2 * self.row2)
        for t in range(steps):
            features[t % self.chunk] = self._features(columns[t], state, t % self.window)
            ready = t % self.chunk + 1
            if ready == self.chunk or t == steps - 1:
                masks[t + 1 - ready : t + 1] = self._masks(features[:ready])
        return masks.unsqueeze(1)


@torch.no_grad()
def _silence(net: ColumnDenseNet) -> tuple[Tensor, Tensor]:
    """Convolutions 2 and 4 of endless silence [filters, bins], pooled over bins, before their rectifiers."""
    middle = net.window // 2  # of a window, which no end of it reaches: 28 columns are enough
    h = next(net.parameters()).new_zeros(1, 1, net.bins, net.window)
    found: list[Tensor] = []
    for index, convolution in enumerate(net.convolutions):
        h = convolution(h)
        if index % 2:
            pooled = max_pool2d(h, (3, 1))
            column = middle if index == 1 else middle // 3
            found.append(pooled[0, :, :, column].contiguous())
            h = max_pool2d(h, 3)
        h = leaky_relu(h, net.leak)
    return found[0], found[1]
