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
    note: str  # what was tried, and what it showed
    command: str | None
    family: str | None
    preset: str | None
    differs: list[str]  # NAME=VALUE of options that are not the preset's (as it was when this was made)
    unsaid: list[str]  # options of the preset that the run's own format does not have
    options: dict[str, Any]
    init: str | None  # the run that its weights came from
    parameters: int | None
    machine: str | None
    replicas: int | None
    cache: str | None
    data: list[list[Any]]  # [set, minutes]
    schedule: dict[str, Any]  # what was asked for: minutes or steps, and the seed
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
            if value:  # records of runs without them stay as they were
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


def thinned(rows: Sequence[Any], most: int) -> list[Any]:
    """Return at most `most` of `rows`, evenly spaced, with the first and the last."""
    if len(rows) <= most:
        return list(rows)
    return [rows[int(place)] for place in np.linspace(0, len(rows) - 1, most).round()]
