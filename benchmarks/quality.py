"""The quality of every system on the same tracks, by the same path as rtsep's models.

Existing figures of `python -m train evaluate` for the same model file and tracks are not measured again.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.streams import Separating
from benchmarks.systems import load_system
from benchmarks.unfinished import Figures, Unfinished, known
from rtsep.errors import InputFileError
from rtsep.model.package import ModelPackage
from rtsep.model.remote import load
from train.data.cache import RATE
from train.data.tracks import Stems, Track, read_track
from train.score.evaluate import Skipped, as_live, score_stems, separate
from train.score.metrics import BssEval
from train.score.processes import one_thread_each
from train.score.scores import MODEL, TARGETS, Content, read_scores, summarise

MIXTURE = "mixture"


@dataclass(frozen=True)
class Found:
    """Figures of earlier evaluations: by system and track, with the length of the track in s."""

    figures: dict[tuple[str, str], tuple[float, Figures]]

    def of(self, system: str, track: Track) -> Figures | None:
        """Return the figures of `system` for exactly this track; None: to be measured."""
        seconds, figures = self.figures.get((system, track.name), (0.0, None))
        return figures if abs(seconds - track.seconds) < 1 / RATE + 1e-4 else None  # rounded as in its file


def earlier(folder: Path | None, models: Sequence[ModelPackage], others: Sequence[str]) -> Found:
    """Return the figures in the JSON files of `folder` of these models, and of systems beside any model."""
    figures: dict[tuple[str, str], tuple[float, Figures]] = {}
    of_file = {package.sha256: package.spec.name for package in models}
    for content in _evaluations(folder):
        systems = {name: name for name in others} | {MODEL: of_file.get(content["model_sha256"], "")}
        for row in content["clips"]:
            for theirs, ours in systems.items():
                if ours and theirs in row["scores"]:
                    figures[ours, row["clip"]] = (row["seconds"], known(row["scores"][theirs]))
    return Found(figures)


def _evaluations(folder: Path | None) -> Iterator[Content]:
    for path in sorted(folder.glob("*.json")) if folder else ():
        try:
            yield read_scores(path)
        except InputFileError:
            continue  # the folder may contain other files


class Scorer:
    """Scores the mixture, models and systems track by track; each is loaded at its first use."""

    def __init__(
        self,
        models: Sequence[ModelPackage],
        systems: Sequence[str],
        found: Found,
        kept: Found | None = None,
    ) -> None:
        """Skip the figures in `found`, of other evaluations, and `kept`, of an interrupted run."""
        self._packages = {package.spec.name: package for package in models}
        self.names = (MIXTURE, *self._packages, *systems)
        self._found, self._kept = found, kept or Found({})
        self._loaded: dict[str, Any] = {}

    def score(self, path: Path) -> Content | Skipped:
        """Return the figures of a track by system, as in `train.score.evaluate`.

        `again`: count of figures from this benchmark, including kept ones; `new`: the systems scored in this
        call.
        """
        try:
            track = read_track(path)
        except InputFileError as error:
            return Skipped(path, str(error))
        judge = _Judge(track)
        row: Content = {"clip": track.name, "seconds": track.seconds, "scores": {}, "again": 0, "new": []}
        for name in self.names:
            figures = self._found.of(name, track)
            if figures is None:
                row["again"] += 1
                figures = self._kept.of(name, track)
            if figures is None:
                figures = judge.figures(self.separate(name, track))
                row["new"].append(name)
            row["scores"][name] = figures
        return row

    def separate(self, name: str, track: Track) -> Stems:
        """Return vocals and accompaniment of the mix of `track` by the system `name`."""
        if name == MIXTURE:
            return track.mix, track.mix
        package = self._packages.get(name)
        if name not in self._loaded:
            self._loaded[name] = load(package) if package else load_system(name)
        with as_live():
            if package:
                return separate(self._loaded[name], track.mix)
            system: Separating = self._loaded[name]
            return system.separate(track.mix)


class _Judge:
    # Holds the references of one track, whose analysis all estimates share.
    def __init__(self, track: Track) -> None:
        assert track.stems is not None
        self._true = track.stems

    @cached_property
    def _bss(self) -> BssEval:
        return BssEval(self._true, RATE)

    def figures(self, stems: Stems) -> Figures:
        return score_stems(self._true, stems, self._bss)[0]


_in_worker: list[Scorer] = []  # the scorer of a worker process


def _start_worker(*arguments: Any) -> None:
    _in_worker.append(Scorer(*arguments))


def _score_in_worker(path: Path) -> Content | Skipped:
    return _in_worker[0].score(path)


def score(
    paths: Sequence[Path],
    models: Sequence[ModelPackage],
    systems: Sequence[str],
    found: Found,
    workers: int = 1,
    unfinished: Unfinished | None = None,
) -> dict[str, Any]:
    """Return the figures of the mixture, the models and the systems on all tracks: summary, and SDR by track.

    `summary` is that of `train.score.scores.summarise`; `clips` has [vocals, accompaniment] by system and
    track; `again` is the number of figures measured here, including those in `unfinished`, which also gets
    new figures track by track. Broken tracks are left out: `skipped` has their paths. Raise `InputFileError`
    if none is left.
    """
    unfinished = unfinished or Unfinished(None, {})
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with (
        one_thread_each(),
        ProcessPoolExecutor(
            workers, context, _start_worker, (models, systems, found, Found(unfinished.figures()))
        ) as pool,
        tqdm(total=len(paths), unit="track", desc="score") as bar,
    ):
        tasks = [pool.submit(_score_in_worker, path) for path in paths]
        try:
            for task in as_completed(tasks):
                _keep(task, unfinished, bar)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    results = [task.result() for task in tasks]
    rows = [result for result in results if not isinstance(result, Skipped)]
    skipped = [result for result in results if isinstance(result, Skipped)]
    if not rows:
        raise InputFileError(f"none of {len(paths)} tracks could be scored; first: {skipped[0].reason}")
    clips = {
        name: {row["clip"]: [row["scores"][name][target]["sdr"] for target in TARGETS] for row in rows}
        for name in rows[0]["scores"]
    }
    return {
        "summary": summarise(rows), "clips": clips, "again": sum(row["again"] for row in rows),
        "skipped": [result.path for result in skipped],
    }  # fmt: skip


def _keep(task: Future[Content | Skipped], unfinished: Unfinished, bar: Any) -> None:
    result = task.result()
    if isinstance(result, Skipped):
        bar.write(f"skipped: {result.reason}")
    elif result["new"]:
        unfinished.keep_track(
            result["clip"], result["seconds"], {name: result["scores"][name] for name in result["new"]}
        )
    bar.update()
