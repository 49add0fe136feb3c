"""The terminal for tables and progress bars."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def plain_console(log_width: int | None = None, **options: Any) -> Console:
    """Return a console that prints text unchanged: names of files and devices may contain brackets or colons.

    `log_width` is the width in columns if the output is not a terminal: a log may be wide. The options are
    those of `rich.console.Console`.
    """
    console = Console(markup=False, emoji=False, **options)
    if log_width is None or console.is_terminal:
        return console
    return Console(markup=False, emoji=False, width=log_width, **options)
