"""Scores of a net on the validation songs during training, by its streaming form from a zero state.

The band above that of a system with a lower rate counts as music here, whatever its `band_above`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.data.cache import RATE, AudioCache
from train.data.effects import Wave
from train.data.excerpts import middle_of, scored_songs, voiceless_middles
from train.learn.stft import left_right, mid_side, played_columns, synthesise, windows
from train.learn.system import Net, Program, System
from train.score.metrics import frame_sdr, level_db, over_frames, standard_error


def separate(program: Program, system: System, mix: Wave) -> Wave:
    """Return the voice [2, n] of `mix` [2, n] at the rate of the cache, latency removed."""
    columns = columns_of(system, mix)
    return masked(system, columns, masks_of(program, system, columns), mix.shape[1])


def columns_of(system: System, mix: Wave) -> Tensor:
    """Return the columns [2, T, bins] of `mix` [2, n], with silence after it for the look-ahead."""
    resampled = mix if system.rate == RATE else soxr.resample(mix.T, RATE, system.rate).T
    flush = np.zeros((2, system.lookahead_hops * system.framing.hop), np.float32)
    wave = mid_side(torch.from_numpy(np.concatenate([resampled, flush], 1)))
    return played_columns(wave, system.framing, windows(system.framing)[0])


def masks_of(program: Program, system: System, columns: Tensor) -> Tensor:
    """Return the masks [T, channels, bins] of columns [2, T, bins], from a zero state."""
    with torch.no_grad():
        return program.offline(torch.view_as_real(columns[: system.channels].transpose(0, 1).contiguous()))


def masked(system: System, columns: Tensor, masks: Tensor, frames: int) -> Wave:
    """Return the voice [2, frames] of columns and masks, at the rate of the cache, latency removed."""
    framing = system.framing
    masks = masks.transpose(0, 1)[:, system.lookahead_hops :]
    played = columns[:, : masks.shape[1]] * masks
    voice = left_right(synthesise(played, framing, windows(framing)[1])).numpy()
    voice = voice[:, framing.stream_delay : framing.stream_delay + round(frames * system.rate / RATE)]
    if system.rate != RATE:
        voice = soxr.resample(voice.T, system.rate, RATE).T
    short = frames - voice.shape[1]
    return np.asarray(np.pad(voice, ((0, 0), (0, max(0, short))))[:, :frames], np.float32)


def scored(voice: Wave, music: Wave, found: Wave) -> tuple[float, float]:
    """Return the SDR in dB of the voice `found`, and of the rest as music: medians over frames of 1 s."""
    left = voice + music - found
    return over_frames(frame_sdr(voice, found, RATE)), over_frames(frame_sdr(music, left, RATE))


@dataclass(frozen=True)
class Validation:
    """Scores of a net on the validation songs."""

    figures: dict[str, float]  # over songs, in dB
    songs: dict[str, list[float]]  # SDR of voice and music of each song, in dB; nan where one is silent


def validate(net: Net, system: System, cache: AudioCache) -> Validation:
    """Score the validation songs: mean, standard error and median over songs of medians over frames of 1 s.

    `error_db` is the level of the error relative to the mix, `leak_db` that of the voice in music without
    voice. Silent excerpts do not count.
    """
    # In the streaming form, which is ten times as fast for some systems.
    program = cast(Program, system.program(net).eval())
    songs: dict[str, list[float]] = {}
    errors, leaks = [], []
    for song in scored_songs(cache):
        voice, music = middle_of(cache, song)
        found = separate(program, system, voice + music)
        key = song.name if song.name not in songs else f"{song.name} ({song.source})"  # a title of two sets
        songs[key] = list(scored(voice, music, found))
        errors.append(level_db(found - voice, voice + music))
    for music in voiceless_middles(cache):
        leaks.append(level_db(separate(program, system, music), music))
    figures = {}
    for column, stem in enumerate(("voice", "music")):
        values = [of[column] for of in songs.values()]
        figures[f"{stem}_mean"] = _over(np.mean, values)
        figures[f"{stem}_se"] = _over(standard_error, values)
        figures[f"{stem}_median"] = _over(np.median, values)
    return Validation(figures | {"error_db": _over(np.mean, errors), "leak_db": _over(np.mean, leaks)}, songs)


def _over(how: Callable[[NDArray[np.float64]], float | np.floating], values: list[float]) -> float:
    known = np.asarray([value for value in values if np.isfinite(value)])
    return float(how(known)) if known.size else float("nan")
