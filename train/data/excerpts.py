"""Excerpts of the validation songs: validation, calibration and robustness measures use the same ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from train.data.cache import RATE, AudioCache, Song
from train.data.effects import Wave

FULL_BAND_HZ = 15000.0
"""Songs that hold nothing above would be scored on what nobody recorded."""

SONG_SECONDS = 30
"""From the middle of each validation song: a whole one takes gigabytes and says little more."""

MUSIC_SECONDS = 10
"""Of each voiceless validation piece."""


def scored_songs(cache: AudioCache) -> list[Song]:
    """The validation songs with stems that hold the full band."""
    return [song for song in cache.select("valid", "stems", "pair") if song.band_hz > FULL_BAND_HZ]


def middle_of(cache: AudioCache, song: Song) -> tuple[Wave, Wave]:
    """Voice and music, [2, n] each, of the middle of a song: SONG_SECONDS, or all of it."""
    frames = min(song.frames, SONG_SECONDS * RATE)
    start = (song.frames - frames) // 2
    voice = cache.read(song, "vocals", start, frames)
    parts = [cache.read(song, name, start, frames) for name in song.stems if name != "vocals"]
    return voice, np.asarray(np.sum(parts, 0), np.float32)


def voiceless_middles(cache: AudioCache) -> Iterator[Wave]:
    """MUSIC_SECONDS [2, n] from the middle on of each validation piece without a voice."""
    for song in cache.select("valid", "music"):
        middle = song.frames // 2
        yield cache.read(song, "music", middle, min(middle, MUSIC_SECONDS * RATE))
