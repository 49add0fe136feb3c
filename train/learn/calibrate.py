"""`calibrate`: find how confident the masks should be, on validation songs.

On unseen songs the masks of a net are too near 0 and 1. Two numbers correct this in part: logits -> slope *
logits + offset (C. Guo et al., "On calibration of modern neural networks", ICML 2017, after J. Platt).
`export` puts them into the last layer, where they cost no time.

A smaller slope or a higher offset finds more voice in music without voice, too; the table shows this leak.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from tqdm import tqdm

from rtsep.errors import InputFileError, UsageError
from train.data.cache import AudioCache, default_cache
from train.data.effects import Wave
from train.data.excerpts import middle_of, scored_songs, voiceless_middles
from train.learn import checkpoint as checkpoints
from train.learn.system import Program, System
from train.learn.validation import (
    columns_of,
    masked,
    masks_of,
    scored,
)
from train.markdown import table
from train.score.metrics import level_db, over_frames

SURE = 1e-7
"""Minimum distance of masks from 0 and 1, so that their logits are finite."""


@dataclass(frozen=True)
class Candidate:
    """One slope and offset with their scores in dB."""

    slope: float
    offset: float
    voice: float  # mean over songs of the median over frames
    music: float
    leak: float  # median over pieces with sound


def _voices(
    program: Program, system: System, mix: Wave, pairs: Sequence[tuple[float, float]]
) -> Iterator[Wave]:
    """Yield the separated voice [2, n] of `mix` for each slope and offset."""
    columns = columns_of(system, mix)
    logits = torch.logit(masks_of(program, system, columns).double(), SURE)
    for slope, offset in pairs:
        yield masked(system, columns, torch.sigmoid(slope * logits + offset).float(), mix.shape[1])


def calibrate(run: Path, cache: AudioCache, slopes: list[float], offsets: list[float]) -> list[Candidate]:
    """Score all pairs of `slopes` and `offsets` on the validation songs, with the averages of `run`.

    Scores without songs are NaN. Raises `UsageError` for a system that cannot be calibrated.
    """
    state = checkpoints.load(run)
    system, net = state.system, state.average_net()
    system.calibrate(state.average_net(), 1.0, 0.0)  # before the minutes that the scores take
    program = cast(Program, system.program(net).eval())
    pairs = list(itertools.product(slopes, offsets))
    sdr: list[list[tuple[float, float]]] = [[] for _ in pairs]
    leaks: list[list[float]] = [[] for _ in pairs]
    for song in tqdm(scored_songs(cache), unit="song", desc="songs"):
        voice, music = middle_of(cache, song)
        voices = _voices(program, system, voice + music, pairs)
        for scores, one in zip(sdr, voices, strict=True):
            scores.append(scored(voice, music, one))
    for music in tqdm(list(voiceless_middles(cache)), unit="piece", desc="music without a voice"):
        for levels, one in zip(leaks, _voices(program, system, music, pairs), strict=True):
            levels.append(level_db(one, music))
    candidates = []
    for (slope, offset), found, found_db in zip(pairs, sdr, leaks, strict=True):
        means = np.nanmean(np.asarray(found), 0) if found else (np.nan, np.nan)
        leak = over_frames(np.asarray(found_db))
        candidates.append(Candidate(slope, offset, float(means[0]), float(means[1]), leak))
    return candidates


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
        if all(map(math.isfinite, numbers)):
            return numbers
    except ValueError:
        pass
    raise UsageError(f"'{text}': numbers with commas between them, as 0.8,0.9,1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m train calibrate`."""
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="a run, or a checkpoint file")
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), metavar="DIR", help="folder of the cache (%(default)s)"
    )
    parser.add_argument(
        "--slopes", default="0.7,0.8,0.9,1", metavar="A,B,...", help="slopes to try (%(default)s)"
    )
    parser.add_argument(
        "--offsets", default="-0.3,0,0.3", metavar="A,B,...", help="offsets to try (%(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    slopes, offsets = _numbers(options.slopes), _numbers(options.offsets)
    candidates = calibrate(options.run, AudioCache(options.cache), slopes, offsets)
    head = ("slope", "offset", "voice mean", "music mean", "leak median")
    rows = [
        (f"{c.slope:g}", f"{c.offset:g}", f"{c.voice:.2f}", f"{c.music:.2f}", f"{c.leak:.1f}")
        for c in candidates
    ]
    print(table(head, rows))
    known = [c for c in candidates if math.isfinite(c.voice + c.music)]
    if not known:
        raise InputFileError(
            f"{options.cache}: no validation song with voice and music, so no calibration is known; prepare "
            "more songs"
        )
    best = max(known, key=lambda c: c.voice + c.music)
    print(f"best sum of voice and music: export --mask-slope {best.slope:g} --mask-offset {best.offset:g}")
