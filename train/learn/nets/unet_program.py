"""The `unet` as it is played: columns gather in the state until a patch is whole.

Its masks are then handed out one a step, while the next patch gathers. State, in floats: the step within the
patch, the patch's magnitudes [columns, bins], the masks of the last whole patch [columns, bins + 1]. Zeros at
the start: an empty patch, and masks of nothing until the first is whole. The whole cost of a patch falls on
the step that completes it; the others only copy.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from train.learn.nets.targets import magnitudes
from train.learn.nets.unet_net import UNetNet, loudest


def _played(layer: nn.Module) -> nn.Sequential:
    """A layer without its batch norm, which is multiplied into the convolution, and without its dropout."""
    kept: list[nn.Module] = []
    for part in layer.children():
        if isinstance(part, nn.BatchNorm2d):
            transposed = isinstance(kept[0], nn.ConvTranspose2d)
            kept[0] = fuse_conv_bn_eval(kept[0], part, transpose=transposed)  # type: ignore[type-var]
        elif not isinstance(part, nn.Dropout):
            kept.append(copy.deepcopy(part))
    return nn.Sequential(*kept).requires_grad_(False)


class UNetProgram(nn.Module):
    """The net with its patch in the state; `state_size` floats, all zeros at the start."""

    def __init__(self, net: UNetNet) -> None:
        super().__init__()
        net = copy.deepcopy(net).eval().to(memory_format=torch.contiguous_format)
        self.bins, self.columns, self.instrumental = net.bins, net.columns, net.instrumental
        self.patch_size = self.columns * self.bins
        self.state_size = 1 + self.patch_size + self.columns * (self.bins + 1)
        self.encoder = nn.ModuleList(_played(layer) for layer in net.encoder)
        self.bottom = _played(net.decoder[0])
        self.decoder = nn.ModuleList(_played(layer) for layer in list(net.decoder)[1:])

    def forward(self, patches: Tensor) -> Tensor:
        """Shares of the voice [N * columns, bins + 1] in patches of magnitudes [N, columns, bins]."""
        x = patches.transpose(1, 2).unsqueeze(1)
        x = x / loudest(x)
        skips: list[Tensor] = []
        for layer in self.encoder:
            x = layer(x)
            skips.append(x)
        skips.pop()
        x = self.bottom(x)
        for layer in self.decoder:
            x = layer(torch.cat([x, skips.pop()], 1))
        share = torch.sigmoid(x).squeeze(1).transpose(1, 2).reshape(-1, self.bins)
        if self.instrumental:
            share = 1.0 - share
        return torch.cat([share, share[:, -1:]], 1)  # Nyquist: its neighbour's

    @torch.jit.export
    def step(self, column: Tensor, state: Tensor) -> Tensor:
        """Mask [1, bins + 1] of the column `columns` - 1 steps ago; column [1, bins + 1, 2]."""
        patch = state[1 : 1 + self.patch_size].view(self.columns, self.bins)
        masks = state[1 + self.patch_size :].view(self.columns, self.bins + 1)
        place = int(state[0].item())
        patch[place] = magnitudes(column[0, : self.bins])
        place += 1
        if place == self.columns:
            place = 0
            masks.copy_(self.forward(patch.unsqueeze(0)))
        state[0] = place
        return masks[place].unsqueeze(0).clone()

    @torch.jit.export
    def offline(self, columns: Tensor) -> Tensor:
        """Masks [T, 1, bins + 1] of columns [T, 1, bins + 1, 2], from a zero state."""
        steps, late = columns.shape[0], self.columns - 1
        played = columns.new_zeros(steps, 1, self.bins + 1)
        for first in range(0, steps - late, self.columns):
            patch = magnitudes(columns[first : first + self.columns, 0, : self.bins])
            share = self.forward(patch.unsqueeze(0))
            last = min(steps, first + late + self.columns)
            played[first + late : last, 0] = share[: last - first - late]
        return played
