"""Memory that a played program computes in: laid out once, at its first step, and written anew by every step.

What an operation returns has to be allocated; what it is told to write to has not, and is where it was a hop
ago. Nothing in it outlives a step: what does is in the state of the model contract.
"""

from torch import Tensor


def lay_out(space: Tensor, shapes: list[list[int]]) -> list[Tensor]:
    """Zeros of `shapes` side by side in `space`, which becomes as large as they are.

    Each begins on a cache line of its own. `space` is a buffer of the program: so it lies on its device, and
    may be written to with and without gradients and inference mode, whichever the first step was called in.
    """
    line = 16  # floats of a cache line
    starts, sizes, end = [0 for _ in shapes], [1 for _ in shapes], 0
    for i, shape in enumerate(shapes):
        for length in shape:
            sizes[i] *= length
        starts[i] = end
        end += (sizes[i] + line - 1) // line * line
    space.resize_([end]).zero_()
    return [space[starts[i] : starts[i] + sizes[i]].view(shape) for i, shape in enumerate(shapes)]


def windows_of_rows(rows: Tensor, size: int) -> Tensor:
    """Each of contiguous `rows` [F + size - 1, C] with the `size` - 1 after it: [F, size * C], a view."""
    channels = rows.shape[1]
    return rows.as_strided([rows.shape[0] - size + 1, size * channels], [channels, 1], rows.storage_offset())
