"""Memory that a played program computes in, laid out once.

The result of an operation needs an allocation; a given output needs none, and has the same place as a hop
ago. A program takes views of a buffer of its own, `space`, at the first step after it was loaded. They cannot
be saved beside it: freezing refuses attributes that overlap, and those of a file reach a GPU one by one and
would share nothing there. `space` has its full size from the beginning: what comes out of a file cannot grow.

Every step writes again what it reads, but for zeros that convolutions find beside their rows: those are laid
out once and must never be written to. What is to outlive a step belongs into the state of the model contract.
"""

import torch
from torch import Tensor


def lay_out(space: Tensor, shapes: list[list[int]]) -> list[Tensor]:
    """Zeros of `shapes` side by side in `space`, which becomes as large as they are.

    Each begins on a cache line of its own. `space` is a buffer of the program: so it lies on its device, and
    may be written to with and without gradients and inference mode, whichever the first step was called in.
    A program that is not scripted yet computes elsewhere, again for every step: what is saved stays zeros.
    """
    line = 16  # floats of a cache line
    starts, sizes, end = [0 for _ in shapes], [1 for _ in shapes], 0
    for i, shape in enumerate(shapes):
        for length in shape:
            sizes[i] *= length
        starts[i] = end
        end += (sizes[i] + line - 1) // line * line
    space.resize_([end]).zero_()
    if not torch.jit.is_scripting():
        space = torch.zeros_like(space)
    return [space[starts[i] : starts[i] + sizes[i]].view(shape) for i, shape in enumerate(shapes)]


def windows_of_rows(rows: Tensor, size: int) -> Tensor:
    """Each of contiguous `rows` [F + size - 1, C] with the `size` - 1 after it: [F, size * C], a view."""
    channels = rows.shape[1]
    return rows.as_strided([rows.shape[0] - size + 1, size * channels], [channels, 1])
