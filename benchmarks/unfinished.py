"""Figures of an interrupted run, so that the same command continues where it stopped.

A file of JSON lines, each written at once: a track with the figures of every system, or the cost of a system.
A model is identified by the checksum of its file, another system by its name. An incomplete line is ignored.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rtsep.errors import OutputError

Figures = dict[str, dict[str, float]]
"""Figures by target and metric, of one system and track; NaN: does not exist."""


class Unfinished:
    """The file at `path`; without one, nothing is stored."""

    def __init__(self, path: Path | None, sums: Mapping[str, str]) -> None:
        """`sums`: checksums of the models' files, by name."""
        self._path, self._sums = path, sums
        self._lines = list(self._read())

    def costs(self, about: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the stored costs of systems by name, measured under exactly the conditions `about`."""
        return {
            line["system"]: line["cost"] for line in self._lines
            if "cost" in line and line["about"] == about and self._same(line["system"], line["sum"])
        }  # fmt: skip

    def figures(self) -> dict[tuple[str, str], tuple[float, Figures]]:
        """Return by system and track: the length of the track in s, and the figures."""
        return {
            (system, line["clip"]): (line["seconds"], known(scores))
            for line in self._lines if "clip" in line
            for system, scores in line["scores"].items() if self._same(system, line["sums"].get(system))
        }  # fmt: skip

    def keep_cost(self, system: str, cost: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        """Store the cost of `system`."""
        self._keep({"system": system, "sum": self._sums.get(system), "cost": cost, "about": about})

    def keep_track(self, clip: str, seconds: float, scores: Mapping[str, Figures]) -> None:
        """Store the figures of a track."""
        sums = {system: self._sums[system] for system in scores if system in self._sums}
        finite = {system: _null_for_nan(figures) for system, figures in scores.items()}
        self._keep({"clip": clip, "seconds": seconds, "sums": sums, "scores": finite})

    def _same(self, system: str, checksum: str | None) -> bool:
        return self._sums.get(system) == checksum

    def _read(self) -> Iterator[dict[str, Any]]:
        if self._path is None or not self._path.is_file():
            return
        for line in self._path.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict) and found.keys() in _KEYS:
                    yield found

    def _keep(self, line: dict[str, Any]) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write("\n" * self._torn() + json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written ({error.strerror or error})") from None

    def _torn(self) -> bool:
        """Return whether the last line is incomplete."""
        assert self._path
        content = self._path.read_bytes()
        return content != b"" and not content.endswith(b"\n")


_KEYS = ({"system", "sum", "cost", "about"}, {"clip", "seconds", "sums", "scores"})


def known(figures: Mapping[str, Mapping[str, float | None]]) -> Figures:
    """Convert figures from a file, where a missing one is null."""
    return {
        target: {metric: math.nan if value is None else value for metric, value in of.items()}
        for target, of in figures.items()
    }


def _null_for_nan(figures: Figures) -> dict[str, dict[str, float | None]]:
    return {
        target: {metric: value if math.isfinite(value) else None for metric, value in of.items()}
        for target, of in figures.items()
    }
