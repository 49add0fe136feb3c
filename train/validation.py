"""What a net scores on the validation songs while it trains: whole clips, from a zero state, as played."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtsep.dsp.windows import Framing
from train.cache import RATE, AudioCache
from train.effects import Wave
from train.metrics import frame_sdr, level_db
from train.stft import left_right, mid_side, played_columns, synthesise, windows

MUSIC_SECONDS = 10
"""Of each voiceless validation piece."""

MaskFunction = Callable[[Tensor], Tensor]
"""Columns [T, 2, bins, 2] to masks [T, 2, bins]."""


def separate(masks_of: MaskFunction, mix: Wave, framing: Framing) -> Wave:
    """Voice [2, n] of `mix` [2, n] by a mask function, latency removed."""
    analysis, synthesis = windows(framing)
    wave = mid_side(torch.from_numpy(np.ascontiguousarray(mix)))
    columns = played_columns(wave, framing, analysis)  # [2, T, bins]
    with torch.no_grad():
        masks = masks_of(torch.view_as_real(columns.transpose(0, 1).contiguous()))
    voice = left_right(synthesise(columns * masks.transpose(0, 1), framing, synthesis))
    return np.asarray(voice[:, framing.latency : framing.latency + mix.shape[1]].numpy())


def validate(masks_of: MaskFunction, cache: AudioCache, framing: Framing) -> dict[str, float]:
    """Score the validation clips: medians and means over clips of the median over 1 s frames, in dB.

    `error_db` is the level of the error under the mix, `leak_db` that of the voice found where there is none.
    """
    voices, musics, errors, leaks = [], [], [], []
    for song in cache.select("valid", "stems"):
        voice = cache.read(song, "vocals")[:, : song.frames]
        parts = [cache.read(song, name)[:, : song.frames] for name in song.stems if name != "vocals"]
        music = np.sum(parts, 0)
        found = separate(masks_of, voice + music, framing)
        voices.append(_median(frame_sdr(voice, found, RATE)))
        musics.append(_median(frame_sdr(music, voice + music - found, RATE)))
        errors.append(level_db(found - voice, voice + music))
    for song in cache.select("valid", "music"):
        middle = song.frames // 2
        music = cache.read(song, "music", middle, min(middle, MUSIC_SECONDS * RATE))
        leaks.append(level_db(separate(masks_of, music, framing), music))
    return {
        "voice_median": _over(np.nanmedian, voices),
        "voice_mean": _over(np.nanmean, voices),
        "music_median": _over(np.nanmedian, musics),
        "music_mean": _over(np.nanmean, musics),
        "error_db": _over(np.nanmean, errors),
        "leak_db": _over(np.nanmean, leaks),
    }


def _over(how: Callable[[NDArray[np.float64]], np.floating], values: list[float]) -> float:
    known = np.asarray([value for value in values if np.isfinite(value)])
    return float(how(known)) if known.size else float("nan")


def _median(frames: NDArray[np.float64]) -> float:
    return float(np.median(frames)) if frames.size else float("nan")
