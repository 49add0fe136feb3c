"""The result of a benchmark: figures with their outliers, the machine, a table and JSON.

In live audio the outliers are the result: every call counts, and the median is accompanied by p99, p99.9 and
the maximum.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from rich import box
from rich.console import Console
from rich.table import Table

PACKAGES = ("rtsep", "torch", "numpy", "numba", "sounddevice")
"""Packages with their versions in a result."""

Row = dict[str, Any]


def spread(values: ArrayLike, share_of: float | None = None) -> dict[str, float]:
    """Return median, p99, p99.9 and maximum of all `values`, and p99 and p99.9 as shares of `share_of`."""
    found = np.asarray(values, np.float64)
    median, p99, p999 = (float(value) for value in np.percentile(found, [50, 99, 99.9]))
    figures = {"median": median, "p99": p99, "p99.9": p999, "max": float(found.max())}
    figures = {name: round(value, 1) for name, value in figures.items()}
    if share_of:
        figures |= {"p99_share": round(p99 / share_of, 4), "p99.9_share": round(p999 / share_of, 4)}
    return figures


@dataclass(frozen=True)
class Column:
    """Column of a table: the key in a row, the heading, and the format of its values."""

    key: str
    title: str
    format: str = "{}"  # format for `str.format`
    setting: bool = False  # condition, not a figure: a value common to all rows goes to the title
    unit: str = ""  # shown once, in the heading or the title

    def text(self, row: Row) -> str:
        """Return the cell of a row; "-" if it has no such value."""
        value = row.get(self.key)
        return "-" if value is None else self.format.format(value)


SPREAD = (
    Column("median", "median", "{:.0f}"),
    Column("p99", "p99", "{:.0f}"),
    Column("p99.9", "p99.9", "{:.0f}"),
    Column("max", "max", "{:.0f}"),
    Column("p99_share", "p99 / hop", "{:.1%}"),
    Column("p99.9_share", "p99.9 / hop", "{:.1%}"),
)
"""Columns for the result of `spread`."""


@dataclass(frozen=True)
class Result:
    """Outcome of one benchmark."""

    bench: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    settings: Row = field(default_factory=dict)  # requested settings, and conditions of the figures
    notes: Sequence[str] = ()  # lines under the table: conclusions as text
    command: str = field(default_factory=lambda: command_of(sys.argv))
    machine: Row = field(default_factory=lambda: machine())

    def to_json(self) -> Row:
        """Return the plain values: everything except the formats of the table."""
        return {
            "bench": self.bench,
            "title": self.title,
            "command": self.command,
            "machine": self.machine,
            "settings": self.settings,
            "rows": list(self.rows),
            "notes": list(self.notes),
        }

    def show(self, console: Console) -> None:
        """Print the table, its notes, and the machine."""
        # Values common to all rows are shown once.
        shown = [(column, {column.text(row) for row in self.rows}) for column in self.columns]
        same = [column for column, texts in shown if column.setting and len(texts) == 1]
        given = ", ".join(
            f"{column.title} {column.text(self.rows[0])} {column.unit}".strip() for column in same
        )
        columns = [column for column in self.columns if column not in same]
        widths = [
            max(len(text) for text in (column.title, *texts)) for column, texts in shown if column in columns
        ]
        tight = sum(widths) + 2 * len(widths) > console.width
        table = Table(
            title=self.title + (f"\n{given}" if given else ""), title_justify="left", box=box.SIMPLE_HEAD,
            collapse_padding=True, pad_edge=False, padding=0 if tight else (0, 1),
        )  # fmt: skip
        for column in columns:
            numeric = any(isinstance(row.get(column.key), int | float) for row in self.rows)
            heading = f"{column.title} {column.unit}".strip()
            if numeric:  # a figure is never cut; words are, if space is short
                table.add_column(
                    heading.replace(" ", "\n") if tight else heading, justify="right", no_wrap=True
                )
            else:
                table.add_column(heading, overflow="fold")
        for row in self.rows:
            table.add_row(*(column.text(row) for column in columns))
        console.print(table)
        for line in (*self.notes, _in_words(self.machine)):
            console.print(line, markup=False, highlight=False)


def command_of(words: Sequence[str]) -> str:
    """Return the command line as a user would type it."""
    return shlex.join(["rtsep", *words[1:]])


def machine(compute: str = "cpu") -> Row:
    """Return the machine, its load and the versions that figures depend on, with its GPU for "cuda"."""
    gpu = cuda = None
    if compute == "cuda":
        from rtsep.model.cuda import gpu_here  # loads torch, which most benchmarks leave to the model process

        gpu, cuda = gpu_here()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        **({"gpu": gpu} if gpu else {}),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))}
        | ({"CUDA": cuda} if cuda else {}),
    }


def _in_words(about: Row) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    load = f", load {about['load'][0]:.2f}" if about["load"] else ""
    gpu = f", {about['gpu']}" if about.get("gpu") else ""
    return (
        f"{about['processor']}, {about['cores']} cores{gpu}{load}; "
        f"{about['system']}; Python {about['python']}, {versions}"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():  # on other systems `platform` has more information
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
