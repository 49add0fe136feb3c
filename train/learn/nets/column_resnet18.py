"""The larger net of `column-resnet`: ResNet-18 on a window of 25 columns, a quarter as wide.

    levels of 513 bins x 25 columns, relative to the window's maximum
      -> 7x7 convolution of stride 2, batch norm, ReLU, 3x3 maximum of stride 2: `width` channels of 129 x 7
      -> 4 stages of two basic blocks; each but the first halves bins and columns and doubles the channels
         (129 x 7, 65 x 4, 33 x 2, 17 x 1)
      -> mean over time, 17 bins x 8 `width` channels -> 513 logits: the mask of one column

The body is that of K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", CVPR
2016 (table 1). It pools over both axes at the end, which a mask of bins cannot: here over time only. Its
strides make each window a computation of its own: the program keeps the window and runs all of it each hop.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad
from torch.nn.utils.fusion import fuse_conv_bn_eval

from train.learn.nets.targets import Levels, magnitudes
from train.learn.system import Net

STAGES, BLOCKS = 4, 2
FAINT = 10 ** (-60 / 20)
"""Minimum for the maximum of a window; a quieter window stays quiet."""
WINDOWS_AT_ONCE = 64
"""Windows of a recording in one pass: some 10 MB a layer."""


def _halved(length: int) -> int:
    return -(-length // 2)


def _normed(inputs: int, outputs: int, kernel: int, stride: int, columns: int) -> nn.Sequential:
    """A convolution that keeps its size but for the stride, and its batch norm.

    Where `columns` is one, it is over bins alone: taps beside that column would only ever see padding. They
    cost as much as the others, and oneDNN 3.12 leaves garbage in their bfloat16 gradients.
    """
    over_time = (kernel, stride) if columns > 1 else (1, 1)
    kernels, strides = (kernel, over_time[0]), (stride, over_time[1])
    padding = (kernel // 2, over_time[0] // 2)
    convolution = nn.Conv2d(inputs, outputs, kernels, strides, padding, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """relu(x + two 3x3 convolutions of it); where sizes change, x goes through a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int, columns: int) -> None:
        super().__init__()
        self.first = _normed(inputs, outputs, 3, stride, columns)
        self.second = _normed(outputs, outputs, 3, 1, _halved(columns) if stride == 2 else columns)
        same = inputs == outputs and stride == 1
        self.skip = nn.Sequential() if same else _normed(inputs, outputs, 1, stride, columns)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, bins, columns] to [N, outputs, bins / stride, columns / stride]."""
        return torch.relu(self.second(torch.relu(self.first(x))) + self.skip(x))


class ResNet18(Net):
    """The net, window by window."""

    def __init__(
        self, width: int, window: int, *, bins: int, rate: int, power: float, mel_weighting: bool
    ) -> None:
        super().__init__()
        self.bins, self.window, self.faint = bins, window, FAINT
        self.levels = Levels(bins, rate, power, mel_weighting)
        self.stem = _normed(1, width, 7, 2, window)
        left, columns = (_halved(_halved(length)) for length in (bins, window))  # by the stem and its pooling
        blocks, inputs = [], width
        for stage in range(STAGES):
            for block in range(BLOCKS):
                outputs, stride = width << stage, 2 if stage and not block else 1
                blocks.append(BasicBlock(inputs, outputs, stride, columns))
                inputs = outputs
                if stride == 2:
                    left, columns = _halved(left), _halved(columns)
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Linear(left * inputs, bins)

    @torch.jit.export
    def relative(self, magnitude: Tensor) -> Tensor:
        """Weighted magnitudes of windows [N, window, bins], 1 at each one's maximum."""
        weighted = self.levels.weighted(magnitude)
        return weighted / weighted.amax(dim=[1, 2], keepdim=True).clamp(min=self.faint)

    def fit_levels(self, magnitude: Tensor) -> None:
        """Normalise by magnitudes of windows [N, window, bins] of training mixtures."""
        self.levels.fit(self.relative(magnitude))

    def forward(self, magnitude: Tensor) -> Tensor:
        """Logits [N, bins] of magnitudes of windows [N, window, bins]."""
        x = self.levels(self.relative(magnitude)).transpose(1, 2).unsqueeze(1)
        x = torch.relu(self.stem(x))
        x = self.blocks(max_pool2d(x, [3, 3], [2, 2], [1, 1]))
        return self.dense(x.mean(3).flatten(1))

    def masks(self, columns: Tensor) -> Tensor:
        """Masks [T, 1, bins] of columns [T, 1, bins, 2], from silence before the first."""
        magnitude = pad(magnitudes(columns[:, 0]), (0, 0, self.window - 1, 0))
        windows = magnitude.unfold(0, self.window, 1).transpose(1, 2)  # [T, window, bins]
        return torch.cat([torch.sigmoid(self(part)) for part in windows.split(WINDOWS_AT_ONCE)])[:, None]


def _fuse(layer: nn.Module) -> nn.Module:
    """A convolution with its batch norm multiplied into it; a skip that does nothing stays so."""
    assert isinstance(layer, nn.Sequential)
    return fuse_conv_bn_eval(layer[0], layer[1]) if len(layer) else layer


class ResNet18Program(nn.Module):
    """The net as it is played. State: the magnitudes of a window [window, bins], the newest last."""

    def __init__(self, net: ResNet18) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.net.stem = _fuse(self.net.stem)  # type: ignore[assignment]
        for block in self.net.blocks:
            assert isinstance(block, BasicBlock)
            for name in ("first", "second", "skip"):
                setattr(block, name, _fuse(getattr(block, name)))
        self.net.to(memory_format=torch.channels_last)  # half the time of the other layout
        self.bins, self.window, self.at_once = net.bins, net.window, WINDOWS_AT_ONCE
        self.state_size = self.window * self.bins

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Mask [1, bins] of the window that ends with this column [1, bins, 2]."""
        kept = state.view(self.window, self.bins)
        kept[:-1] = kept[1:].clone()
        kept[-1] = magnitudes(column[0])
        return torch.sigmoid(self.net(kept.unsqueeze(0)))

    @torch.jit.export
    def offline(self, columns: Tensor) -> Tensor:
        """Masks [T, 1, bins] of columns [T, 1, bins, 2], from a zero state."""
        magnitude = pad(magnitudes(columns[:, 0]), [0, 0, self.window - 1, 0])
        windows = magnitude.unfold(0, self.window, 1).transpose(1, 2)
        masks: list[Tensor] = []
        for part in windows.split(self.at_once):
            masks.append(torch.sigmoid(self.net(part)))
        return torch.cat(masks).unsqueeze(1)
