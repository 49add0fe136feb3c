"""The record of a training run: a few kilobytes that outlive the folder of the run.

A record holds no facts of the machine but its processor: paths are cut down to their last part. The record
of an older run has fewer facts.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Record:
    """The facts of a run; an unknown one is None or empty."""

    name: str
    note: str  # the change that was tried, and its result
    command: str | None
    family: str | None
    preset: str | None
    differs: list[str]  # NAME=VALUE of options that differ from the preset at the time of the record
    unsaid: list[str]  # options of the preset that did not exist in the format of the run
    options: dict[str, Any]
    init: str | None  # the run of its initial weights
    parameters: int | None
    machine: str | None
    replicas: int | None
    cache: str | None
    data: list[list[Any]]  # [set, minutes]
    schedule: dict[str, Any]  # options of the command: minutes or steps, and the seed
    steps: int | None
    audio_hours: float | None
    wall_minutes: float | None  # of training, validation not counted
    core_minutes: float | None  # of all replicas and threads
    columns: list[str]
    curve: list[list[float | None]]  # one row a validation
    scores: list[dict[str, Any]]
    songs: dict[str, list[float | None]] = field(default_factory=dict)
    """SDR of voice and music of each validation song at the last validation; empty if unknown."""

    @property
    def points(self) -> list[dict[str, float | None]]:
        """The points of the curve, with figures by name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.curve]

    @property
    def trained_on_validation(self) -> bool:
        """True if the run was trained on the validation songs; its validation figures mean little then."""
        recipe = self.options.get("training", {}).get("recipe", {})
        return bool(recipe.get("all_clips")) and not recipe.get("open_only")  # which they are not

    def at_end(self, column: str) -> float | None:
        """Return a figure of the last validation."""
        return self.points[-1].get(column) if self.curve else None


def record_text(record: Record) -> str:
    """Return the JSON of a record, with one line for each entry, validation and song."""
    lines = []
    for name, value in dataclasses.asdict(record).items():
        if name == "songs":
            if value:  # records of runs without them remain unchanged
                inner = ",\n".join(
                    f"  {json.dumps(song, ensure_ascii=False)}: {json.dumps(of, allow_nan=False)}"
                    for song, of in value.items()
                )
                lines.append(f' "{name}": {{\n{inner}\n }}')
        elif name in ("curve", "scores") and value:
            inner = ",\n".join("  " + json.dumps(item, ensure_ascii=False, allow_nan=False) for item in value)
            lines.append(f' "{name}": [\n{inner}\n ]')
        else:
            lines.append(f' "{name}": {json.dumps(value, ensure_ascii=False, allow_nan=False)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def is_figure(value: Any) -> bool:
    """Return whether `value` is a number or None."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def thinned(rows: Sequence[Any], max_rows: int) -> list[Any]:
    """Return at most `max_rows` of `rows`, evenly spaced, with the first and the last."""
    if len(rows) <= max_rows:
        return list(rows)
    return [rows[int(place)] for place in np.linspace(0, len(rows) - 1, max_rows).round()]
