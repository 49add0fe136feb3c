"""Calibration of masks by bands: a slope for each mask, an offset for each mask and band.

On unseen songs, the errors of masks in the bass differ from those in the bands of the voice. One slope and
one offset for all bins (`train.learn.calibrate`) cannot correct that. Here they are fitted by gradient to the
validation songs, with a price on what is left of music without a voice. They cost no time in the net: a slope
scales the weights of a mask, an offset is a part of its bias.

The scores are cross-validated: each half of the songs is scored with the values of the other half.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from rtsep.errors import InputFileError, UsageError
from train.data.cache import AudioCache
from train.data.effects import Wave
from train.data.excerpts import middle_of, scored_songs, voiceless_middles
from train.learn import checkpoint as checkpoints
from train.learn.nets.causal import Causal
from train.learn.system import Net, Program, System
from train.learn.validation import columns_of, masked, masks_of, scored
from train.score.metrics import level_db, standard_error

EDGES_HZ = (90, 180, 300, 450, 650, 900, 1300, 1900, 2800, 4000, 6000, 9000)
"""Limits between the bands."""

SURE = 1e-7
"""Minimum distance of masks from 0 and 1, so that their logits are finite."""

FLOOR = 0.003
"""As in `LossConfig`: no gain below this level of the error, relative to the mix."""

EVERY = 4
"""One hop of so many is enough for a fit."""

SEGMENT = 43
"""Hops of the fit in one segment: a second at a hop of 256."""

STEPS, RATE, SMOOTHNESS = 60, 0.03, 0.02
"""Steps of Adam, their size, and the price of differences between neighbouring bands."""


@dataclass(frozen=True)
class BandCalibration:
    """Calibration of the masks of mid and side: logits -> slope * logits + offset of the band."""

    slopes: tuple[float, ...]  # of each mask
    offsets: tuple[tuple[float, ...], ...]  # of each mask, in each band
    edges_hz: tuple[float, ...] = EDGES_HZ

    def offsets_at(self, hz: Tensor) -> Tensor:
        """Return the offsets [masks, bins] at the frequencies `hz` [bins]."""
        return torch.tensor(self.offsets)[:, _bands(hz, self.edges_hz)]

    @classmethod
    def read(cls, path: Path) -> BandCalibration:
        """Read the file of `calibrate --bands`; raise `InputFileError` for another file."""
        try:
            raw = json.loads(path.read_text())
            offsets = tuple(tuple(map(float, each)) for each in raw["offsets"])
            read = cls(tuple(map(float, raw["slopes"])), offsets, tuple(map(float, raw["edges_hz"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputFileError(f"{path}: not a file of 'calibrate --bands' ({error})") from None
        if {len(each) for each in offsets} != {len(read.edges_hz) + 1} or len(offsets) != len(read.slopes):
            raise InputFileError(f"{path}: its slopes, offsets and edges do not belong together")
        return read

    def to_plain(self) -> dict[str, Any]:
        """Return its values in JSON types."""
        return asdict(self)


def calibrate_net(system: System, net: Net, calibration: BandCalibration) -> None:
    """Put `calibration` into the weights of `net`; raise `UsageError` for a system without such masks."""
    if not isinstance(system, Causal):
        raise UsageError(f"a system '{system.family}' has no calibration by bands")
    system.calibrate_bands(net, torch.tensor(calibration.slopes), calibration.offsets_at(system.mask_hz))


class Found(NamedTuple):
    """A calibration of all songs, and the scores of those of the two halves."""

    calibration: BandCalibration
    voice: tuple[float, float]  # gain in dB: mean over songs, its standard error
    music: tuple[float, float]
    leak: tuple[float, float]  # mean over pieces without a voice in dB, before and after


class _Excerpt(NamedTuple):
    """Sums over the bins of each mask, and the mask logits: all [segments, SEGMENT, 2, pooled bins]."""

    logits: Tensor
    mix: Tensor  # |X|^2
    cross: Tensor  # Re(X V*)
    voice: Tensor  # |V|^2


def _bands(hz: Tensor, edges_hz: Sequence[float]) -> Tensor:
    return torch.bucketize(hz, torch.tensor([float(edge) for edge in edges_hz]), right=True)


class _Bench:
    """A net with calibrated masks, and the excerpts that it is fitted to."""

    def __init__(self, run: Path) -> None:
        state = checkpoints.load(run)
        if not isinstance(state.system, Causal):
            raise UsageError(f"{run}: a system '{state.system.family}' has no calibration by bands")
        self.system = state.system
        self.program = cast(Program, self.system.program(state.average_net()).eval())
        self.place = torch.tensor(self.system.place)
        self.bands = _bands(self.system.mask_hz, EDGES_HZ)
        self._pooling = torch.nn.functional.one_hot(self.place, self.system.pooled).float()
        self._first = torch.tensor(
            [int((self.place == bin_).nonzero()[0]) for bin_ in range(self.system.pooled)]
        )

    def excerpt(self, voice: Wave, music: Wave) -> _Excerpt:
        """Return what a fit needs of an excerpt [2, n]."""
        mix, target = columns_of(self.system, voice + music), columns_of(self.system, voice)
        masks = masks_of(self.program, self.system, mix)[self.system.lookahead_hops :]
        hops = masks.shape[0]
        x, v = mix[:, :hops].transpose(0, 1)[::EVERY], target[:, :hops].transpose(0, 1)[::EVERY]
        logits = torch.logit(masks[::EVERY][..., self._first].double(), SURE).float()
        sums = (x.abs().square(), (x * v.conj()).real, v.abs().square())
        whole = logits.shape[0] // SEGMENT * SEGMENT
        parts = (logits, *(each @ self._pooling for each in sums))
        return _Excerpt(*(part[:whole].unflatten(0, (-1, SEGMENT)) for part in parts))

    def error_db(self, of: _Excerpt, slopes: Tensor, offsets: Tensor) -> Tensor:
        """Return the level of the error in dB to the mix: mean over segments, weighted as in the loss."""
        masks = torch.sigmoid(slopes[:, None] * of.logits + offsets[:, self.bands])
        error = (masks * masks * of.mix - 2 * masks * of.cross + of.voice).sum((1, 2, 3))
        mix = of.mix.sum((1, 2, 3)) + 1e-3
        weight = mix.sqrt()
        return (weight / weight.mean() * 10 * torch.log10((error + FLOOR * mix) / mix)).mean()

    def fit(
        self, songs: Sequence[_Excerpt], pieces: Sequence[_Excerpt], leak_weight: float
    ) -> BandCalibration:
        """Return the calibration of `songs`; `pieces` have no voice."""
        slopes = torch.ones(2, requires_grad=True)
        offsets = torch.zeros(2, len(EDGES_HZ) + 1, requires_grad=True)
        adam = torch.optim.Adam([slopes, offsets], lr=RATE)
        weighed = [(each, 1 / len(songs)) for each in songs]
        weighed += [(each, leak_weight / len(pieces)) for each in pieces]
        for _ in range(STEPS):
            adam.zero_grad()
            for each, weight in weighed:  # one after the other: their graphs are large
                (weight * self.error_db(each, slopes, offsets)).backward()
            (SMOOTHNESS * offsets.diff(dim=1).square().sum()).backward()
            adam.step()
        values = [round(value, 3) for value in slopes.tolist()]
        rows = [tuple(round(value, 3) for value in row) for row in offsets.tolist()]
        return BandCalibration(tuple(values), tuple(rows))

    def voices(self, mix: Wave, calibration: BandCalibration) -> tuple[Wave, Wave]:
        """Return the voice [2, n] of `mix`, as it is and calibrated."""
        columns = columns_of(self.system, mix)
        masks = masks_of(self.program, self.system, columns)
        slopes = torch.tensor(calibration.slopes, dtype=torch.float64)[:, None]
        offsets = calibration.offsets_at(self.system.mask_hz)[:, self.place]
        other = torch.sigmoid(slopes * torch.logit(masks.double(), SURE) + offsets).float()
        frames = mix.shape[1]
        return masked(self.system, columns, masks, frames), masked(self.system, columns, other, frames)


def calibrate_bands(run: Path, cache: AudioCache, leak_weight: float) -> Found:
    """Fit the masks of `run` to the validation songs; raise `UsageError` if its system or cache has none."""
    bench = _Bench(run)
    stems = [middle_of(cache, song) for song in tqdm(scored_songs(cache), unit="song", desc="songs")]
    music = list(voiceless_middles(cache))
    if min(len(stems), len(music)) < 2:
        raise UsageError("a calibration by bands needs two validation songs and two pieces without a voice")
    songs = [bench.excerpt(*each) for each in tqdm(stems, unit="song", desc="masks")]
    pieces = [bench.excerpt(np.zeros_like(each), each) for each in tqdm(music, unit="piece", desc="masks")]
    # Those of a half are scored with the values of the other one.
    halves = [bench.fit(songs[1 - half :: 2], pieces[1 - half :: 2], leak_weight) for half in range(2)]
    gains, leaks = [], []
    for number, (voice, others) in enumerate(tqdm(stems, unit="song", desc="scores")):
        found = bench.voices(voice + others, halves[number % 2])
        plain, calibrated = (scored(voice, others, each) for each in found)
        gains.append(np.subtract(calibrated, plain))
    for number, each in enumerate(tqdm(music, unit="piece", desc="leak")):
        leaks.append([level_db(voice, each) for voice in bench.voices(each, halves[number % 2])])
    of_voice, of_music = np.asarray(gains).T
    before, after = np.mean(leaks, 0).tolist()
    whole = bench.fit(songs, pieces, leak_weight)
    return Found(whole, _mean(of_voice), _mean(of_music), (before, after))


def _mean(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]  # nan where a stem of the song is silent
    return float(np.mean(known)), standard_error(known)
