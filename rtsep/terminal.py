"""The terminal that tables and progress bars are printed to."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def plain_console(log_width: int | None = None, **options: Any) -> Console:
    """Return a console that prints a text as it is: the name of a file or device may hold brackets or colons.

    `log_width` is the width in columns where the output is no terminal: a log may be wide. The options are
    those of `rich.console.Console`.
    """
    console = Console(markup=False, emoji=False, **options)
    if log_width is None or console.is_terminal:
        return console
    return Console(markup=False, emoji=False, width=log_width, **options)
