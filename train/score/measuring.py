"""The bench of the robustness measures: a result with its limit, and processes that play excerpts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from rtsep.errors import InputFileError
from rtsep.model.remote import load_model
from rtsep.model.runner import ModelRunner
from train.data.cache import RATE, AudioCache, Song
from train.data.effects import Wave
from train.data.excerpts import middle_of
from train.data.tracks import Stems, Track, read_track
from train.score.evaluate import Skipped, as_live, separate
from train.score.processes import Workers, ignore_interrupts, interruptible
from train.score.scores import Content

NO_SONGS = "the cache holds no full-band validation songs with stems; give --data"

Clip = Path | Song
"""A track on disk, or a validation song of the cache."""

Item = TypeVar("Item")
Row = TypeVar("Row")


@dataclass(frozen=True)
class Measure:
    """One measure of a model: description, limit, and the result if it was measured."""

    name: str
    asks: str
    unit: str
    bar: str
    value: float | None = None
    met: bool | None = None  # None: not measured
    reason: str = ""  # for not measuring it
    details: dict[str, Any] = field(default_factory=dict)

    def found(self, value: float, met: bool, **details: Any) -> Measure:
        """Return the measure with its result."""
        return dataclasses.replace(self, value=float(value), met=bool(met), details=details)

    def not_measured(self, reason: str, **details: Any) -> Measure:
        """Return the measure without a result, with the reason."""
        return dataclasses.replace(self, reason=reason, details=details)

    @property
    def shown(self) -> str:
        """The result with its unit."""
        return "-" if self.value is None else f"{self.value:.2f} {self.unit}"

    def to_json(self) -> Content:
        """Return the JSON of the measure. Its `shown` separates -inf from no result."""
        return dataclasses.asdict(self) | {"measured": self.met is not None, "shown": self.shown}


@dataclass(frozen=True)
class Worker:
    """The model and the cache of a process."""

    model: ModelRunner
    cache: AudioCache

    @classmethod
    def start(cls, model: Path, cache: Path, device: str) -> Worker:
        """Load both; raises `ModelError` or `InputFileError` if one of them cannot be used."""
        worker = cls(load_model(model, device), AudioCache(cache))
        worker.play(np.zeros((2, RATE // 10), np.float32))  # compiles the path
        return worker

    def play(self, mix: Wave, rate: int = RATE) -> Stems:
        """Return voice and accompaniment of `mix` [2, n] from a zero state, as in a live session."""
        with as_live():
            return separate(self.model, mix, rate)

    def track(self, clip: Clip) -> Track:
        """Return the track of a clip, or the middle of a song; `InputFileError` for a damaged file."""
        if isinstance(clip, Path):
            return read_track(clip)
        voice, others = middle_of(self.cache, clip)
        return Track(clip.name, voice + others, (voice, others))


_in_worker: list[Worker] = []  # of this process, if it belongs to a pool


def start_process(model: Path, cache: Path, device: str) -> None:
    """Prepare this process of a pool for `Bench.each`."""
    ignore_interrupts()
    _in_worker.append(Worker.start(model, cache, device))


def _in_process(what: Callable[[Worker, Item], Row], item: Item) -> Row:
    with interruptible():
        return what(_in_worker[0], item)


class Bench:
    """A bench for measures, in this process or in a pool whose processes began with `start_process`."""

    def __init__(self, worker: Worker, clips: Sequence[Clip] = (), pool: Workers | None = None) -> None:
        """`clips` are what `level` and `rate` score."""
        self.worker, self.clips = worker, tuple(clips)
        self._pool = pool
        self._rows: dict[Any, list[Content | Skipped]] = {}

    def select(self, kind: str) -> list[Song]:
        """Return the validation songs of a kind, in an order that does not depend on that of the cache."""
        return sorted(self.worker.cache.select("valid", kind), key=lambda song: (song.source, song.name))

    def each(self, what: Callable[[Worker, Item], Row], items: Sequence[Item], title: str) -> list[Row]:
        """Return `what` of each item in order. `what` must be a function of a module, for other processes."""
        here = functools.partial(what, self.worker)
        if self._pool is None:
            rows: Iterator[Row] = map(here, items)
        else:
            rows = self._pool.map(functools.partial(_in_process, what), here, items)
        return list(tqdm(rows, total=len(items), desc=title, unit="excerpt"))

    def of_clips(
        self, what: Callable[[Worker, Clip], Content | Skipped], title: str
    ) -> tuple[list[Content], list[Skipped]]:
        """Return `what` of every clip, and the clips that are damaged; made once for each function."""
        if what not in self._rows:
            self._rows[what] = self.each(what, self.clips, title)
        rows = self._rows[what]
        skipped = [row for row in rows if isinstance(row, Skipped)]
        return [row for row in rows if not isinstance(row, Skipped)], skipped


def read_clip(worker: Worker, clip: Clip) -> Track | Skipped:
    """Return the track of a clip, or the reason if it is damaged."""
    try:
        return worker.track(clip)
    except InputFileError as error:
        return Skipped(clip if isinstance(clip, Path) else Path(clip.name), str(error))
