"""Excerpts of the validation songs: validation, calibration and robustness measures use the same ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from train.data.cache import RATE, AudioCache, Song
from train.data.effects import Wave

FULL_BAND_HZ = 15000.0
"""Songs without content above this frequency are not scored: there is no reference for that band."""

SONG_SECONDS = 30
"""Length of the excerpt from the middle of a validation song. A whole song takes gigabytes."""

MUSIC_SECONDS = 10
"""Length of the excerpt from a validation piece without voice."""


def scored_songs(cache: AudioCache) -> list[Song]:
    """Return the validation songs whose stems have the full band."""
    return [song for song in cache.select("valid", "stems", "pair") if song.band_hz > FULL_BAND_HZ]


def middle_of(cache: AudioCache, song: Song) -> tuple[Wave, Wave]:
    """Return voice and music, [2, n] each, from the middle of a song: at most SONG_SECONDS."""
    frames = min(song.frames, SONG_SECONDS * RATE)
    start = (song.frames - frames) // 2
    voice = cache.read(song, "vocals", start, frames)
    parts = [cache.read(song, name, start, frames) for name in song.stems if name != "vocals"]
    return voice, np.asarray(np.sum(parts, 0), np.float32)


def voiceless_middles(cache: AudioCache) -> Iterator[Wave]:
    """Yield an excerpt [2, n] of each validation piece without voice: MUSIC_SECONDS from its middle on."""
    for song in cache.select("valid", "music"):
        middle = song.frames // 2
        yield cache.read(song, "music", middle, min(middle, MUSIC_SECONDS * RATE))
