"""The quality of every system on the same tracks, by the path that scores rtsep's models.

What `python -m train evaluate` has found already, of the very same model file and tracks, is not measured
again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.systems import load_system
from rtsep.errors import InputFileError
from rtsep.model.loader import load_model
from rtsep.model.package import ModelPackage
from train.cache import RATE
from train.evaluate import as_live, score_stems, separate
from train.metrics import BssEval
from train.peers import Peer
from train.scores import MODEL, TARGETS, Content, read_scores, summarise
from train.tracks import Stems, Track, read_track, track_name

MIXTURE = "mixture"

Figures = dict[str, dict[str, float]]
"""By target and metric, of one system and track."""


@dataclass(frozen=True)
class Found:
    """What earlier evaluations found: by system and track, with the length of the track in s."""

    figures: dict[tuple[str, str], tuple[float, Figures]]

    def of(self, system: str, track: Track) -> Figures | None:
        """Figures of `system` on this very track; None: to be measured."""
        seconds, figures = self.figures.get((system, track.name), (0.0, None))
        return figures if abs(seconds - track.seconds) < 1 / RATE + 1e-4 else None  # as rounded in its file


def earlier(folder: Path | None, models: Sequence[ModelPackage], others: Sequence[str]) -> Found:
    """The figures in the JSON files of `folder` of these models, and of these systems beside any model."""
    figures: dict[tuple[str, str], tuple[float, Figures]] = {}
    of_file = {package.sha256: package.spec.name for package in models}
    for content in _evaluations(folder):
        systems = {name: name for name in others} | {MODEL: of_file.get(content["model_sha256"], "")}
        for row in content["clips"]:
            for theirs, ours in systems.items():
                if ours and theirs in row["scores"]:
                    figures[ours, row["clip"]] = (row["seconds"], _known(row["scores"][theirs]))
    return Found(figures)


def _evaluations(folder: Path | None) -> Iterator[Content]:
    for path in sorted(folder.glob("*.json")) if folder else ():
        try:
            yield read_scores(path)
        except InputFileError:
            continue  # a folder may hold other things


def _known(figures: dict[str, dict[str, float | None]]) -> Figures:
    # A figure that does not exist is null in a file, nan where it was found.
    return {
        target: {metric: float("nan") if value is None else value for metric, value in of.items()}
        for target, of in figures.items()
    }


def score(
    paths: Sequence[Path], models: Sequence[ModelPackage], systems: Sequence[str], found: Found
) -> dict[str, Any]:
    """Figures of the mixture, the models and the systems on all tracks: summary, and SDR by track.

    `summary` is that of `train.scores.summarise`; `clips` holds [vocals, accompaniment] by system and track;
    `again` the number of figures that were measured now.
    """
    separators = Separators(models, systems)
    rows, again = [], 0
    for path in tqdm(paths, unit="track", desc="score"):
        track = read_track(path)
        scores = {}
        judge = _Judge(track)
        for name in (MIXTURE, *separators.names):
            figures = found.of(name, track)
            if figures is None:
                again += 1
                stems = (track.mix, track.mix) if name == MIXTURE else separators.separate(name, track)
                figures = judge.figures(stems)
            scores[name] = figures
        rows.append({"clip": track.name, "seconds": track.seconds, "scores": scores})
    clips = {
        name: {row["clip"]: [row["scores"][name][target]["sdr"] for target in TARGETS] for row in rows}
        for name in (MIXTURE, *separators.names)
    }
    return {"summary": summarise(rows), "clips": clips, "again": again}


class Separators:
    """Models and systems by name, each loaded when it is first needed."""

    def __init__(self, models: Sequence[ModelPackage], systems: Sequence[str]) -> None:
        self._packages = {package.spec.name: package for package in models}
        self.names = (*self._packages, *systems)
        self._loaded: dict[str, Any] = {}

    def separate(self, name: str, track: Track) -> Stems:
        """Vocals and accompaniment of the mix of `track` by the separator `name`."""
        package = self._packages.get(name)
        if name not in self._loaded:
            self._loaded[name] = load_model(package.path) if package else load_system(name)
        with as_live():
            if package:
                return separate(self._loaded[name], track.mix)
            peer: Peer = self._loaded[name]
            return peer.separate(track.mix)


class _Judge:
    # What all estimates of one track are scored against; most of its work is done once.
    def __init__(self, track: Track) -> None:
        assert track.stems is not None
        self._true = track.stems

    @cached_property
    def _bss(self) -> BssEval:
        return BssEval(self._true, RATE)

    def figures(self, stems: Stems) -> Figures:
        return score_stems(self._true, stems, self._bss)[0]


def names_of_tracks(paths: Sequence[Path]) -> list[str]:
    """Names as figures are kept by."""
    return [track_name(path) for path in paths]
