"""Readings of the system about a process, and rows of figures over time."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass
class Process:
    """Resources of a process."""

    resident_kb: int = 0
    threads: int = 0
    handles: int = 0


def read_process(pid: int) -> Process | None:
    """Return the resources of process `pid`; None if it does not exist."""
    folder = Path(f"/proc/{pid}")
    try:
        entries = dict(
            line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line
        )
        if "VmRSS" not in entries:  # it ends
            return None
        return Process(
            int(entries["VmRSS"].split()[0]), int(entries["Threads"]), len(list((folder / "fd").iterdir()))
        )
    except (OSError, KeyError):
        return None


@dataclass
class Row:
    """One reading of everything. Counters count from the start; None: it could not be read."""

    t: float  # s from the first reading
    calm: bool  # no fault since the reading before, and some time before that
    state: str = ""
    session_kb: int | None = None
    session_threads: int | None = None
    session_handles: int | None = None
    model_pid: int | None = None
    model_kb: int | None = None
    model_threads: int | None = None
    model_handles: int | None = None
    hops: int | None = None
    late_masks: int | None = None
    underruns: int | None = None
    overruns: int | None = None
    device_xruns: int | None = None
    restarts: int | None = None
    latency: int | None = None  # as reported, frames
    rate: int | None = None
    block: int | None = None
    least: int | None = None  # delay of the clicks since the reading before, frames; None: there was none
    most: int | None = None
    heard: int | None = None  # clicks
    missing: int | None = None
    click_xruns: int | None = None
    click_skipped: int | None = None
    plain_xruns: int | None = None
    plain_skipped: int | None = None
    plain_gap_ms: float | None = None


def write_rows(rows: list[Row], path: Path) -> None:
    """Write rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def row_of(values: dict[str, Any]) -> Row:
    """Return the row that `dataclasses.asdict` has made `values` of."""
    return Row(**values)
