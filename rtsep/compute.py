"""The option `--compute`, the processor that runs the model; its old name is `--device`."""

from __future__ import annotations

import argparse

from rtsep.errors import UsageError

COMPUTE = ("cpu", "cuda")
"""The accepted values, as torch calls them."""

OLD_NAME = "device"
"""The old name of the option, the keyword argument and the key in `rtsep.toml`. It is still accepted."""


def add_compute(parser: argparse._ActionsContainer, purpose: str) -> None:
    """Add `--compute` to a parser, and the old `--device` as an alias that the help does not show."""
    parser.add_argument("--compute", choices=COMPUTE, default="cpu", help=f"{purpose} (%(default)s)")
    parser.add_argument(
        f"--{OLD_NAME}", dest="compute", choices=COMPUTE, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


def chosen_compute(compute: str | None, device: str | None) -> str:
    """Return the value of the keyword arguments `compute` and `device`, its old name; "cpu" without both.

    Raises `UsageError` if they differ.
    """
    if compute is not None and device is not None and compute != device:
        raise UsageError(f"compute '{compute}', device '{device}': device is the old name; leave it out")
    return compute or device or "cpu"
