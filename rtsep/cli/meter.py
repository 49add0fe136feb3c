"""A few lines on the terminal while it plays: levels, the hop against its budget, what went wrong."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

_FLOOR_DB = -60.0
_WIDTH = 40
_NAMES = {"dry": "input", "vocals": "vocals", "instrumental": "instrumental"}


class LiveMeter:
    """A context manager around `show`."""

    refresh_s = 0.1

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=10, transient=True)

    def __enter__(self) -> LiveMeter:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, value, trace)

    def show(self, stats: dict[str, Any]) -> None:
        """Draw `stats` as `LiveSession.stats` gives them."""
        self._live.update(render(stats))


def render(stats: dict[str, Any]) -> Group:
    """Return the lines for one moment."""
    table = Table.grid(padding=(0, 1))
    for feed, title in _NAMES.items():
        level = stats["levels"][feed]
        peak_db = 20 * math.log10(max(level["peak"], 1e-6))
        filled = round(_WIDTH * (1 - max(_FLOOR_DB, min(0.0, peak_db)) / _FLOOR_DB))
        style = "red" if peak_db > -1 else "yellow" if peak_db > -9 else "green"
        bar = Text("█" * filled, style=style) + Text("·" * (_WIDTH - filled), style="dim")
        table.add_row(
            Text(title, style="bold"), bar, f"{peak_db:6.1f} dB" if peak_db > _FLOOR_DB else "       -"
        )
    hop, ms = stats["hop_us"], stats["latency_ms"]
    trouble = stats["late_masks"] + stats["underruns"] + stats["overruns"] + stats["device_xruns"]
    line = Text.assemble(
        f"{stats['state']}  latency {ms['total']:.1f} ms  ",
        f"hop {hop['p50'] / 1000:.2f} ms (p99 {hop['p99'] / 1000:.2f})  ",
        (
            f"late {stats['late_masks']}  underruns {stats['underruns']}  xruns {stats['device_xruns']}",
            "red" if trouble else "green",
        ),
    )
    if stats["drift_ppm"] is not None:
        line.append(f"  drift {stats['drift_ppm']:+.0f} ppm")
    if not stats["model"]["ready"]:
        line.append("  model restarting: dry signal", style="red")
    return Group(table, line, Text("Ctrl-C ends", style="dim"))
