"""Training mixtures made on the fly: true songs, songs put together at random, voices alone, music alone.

A mixture is a pair (voice, music) [2, n] that is added at the very end, so voice + music == mix always holds.
Everything drawn comes from the generator that is handed in: equal seeds give equal mixtures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from train import effects
from train.cache import RATE, AudioCache, Song
from train.effects import Wave, active_rms, from_db, rms

BACKING = ("drums", "bass", "other")
SHARE = {"utau": 0.3}
"""Sets drawn less often than their length suggests: strings of syllables on one pitch are no songs."""

QUIET = 3e-3
"""An excerpt whose voice has less RMS than this is drawn again, where a voice is wanted."""


@dataclass(frozen=True)
class Recipe:
    """How often what happens; shares of 1 unless a unit is named."""

    clips: float = 0.78  # of true mixes: four-stem songs (the rest: whole songs of two stems)
    musdb_voices: float = 0.45  # of random pairs, whose voice comes from: four-stem songs,
    song_voices: float = 0.15  # two-stem songs (the rest: solo voices, produced)
    clip_backings: float = 0.35  # of random pairs, whose music comes from: one four-stem song,
    shuffled_backings: float = 0.2  # stems of several,
    song_backings: float = 0.15  # two-stem songs (the rest: instrumentals)
    second_voice: float = 0.12  # of random pairs
    voiceless: float = 0.06
    voice_only: float = 0.02
    mono: float = 0.06
    resampled: float = 0.4
    toned: float = 0.5
    low_passed: float = 0.3
    stem_gain_db: float = 4.0  # +-, each stem of a true mix
    level_db: tuple[float, float] = (-19.0, 5.0)  # RMS of the mixture: mean, deviation


class Remixer:
    """Draws mixtures from the training (or validation) songs of a cache."""

    def __init__(
        self, cache: AudioCache, frames: int, split: str = "train", recipe: Recipe = Recipe()
    ) -> None:
        self.cache, self.frames, self.recipe = cache, frames, recipe

        def long_enough(kind: str) -> list[Song]:
            return [song for song in cache.select(split, kind) if song.frames >= RATE]

        self.clips, self.pairs = long_enough("stems"), long_enough("pair")
        self.voices, self.music = long_enough("voice"), long_enough("music")
        # Long recordings are drawn more often, but not in proportion: many singers teach more than one.
        self._weights: dict[int, NDArray[np.float64]] = {}
        for songs in (self.clips, self.pairs, self.voices, self.music):
            root = np.sqrt([min(song.frames, 120 * RATE) * SHARE.get(song.source, 1.0) for song in songs])
            self._weights[id(songs)] = root / root.sum() if songs else root
        if not self.clips and not self.pairs:
            raise ValueError(f"the cache holds no songs with stems in split '{split}'")

    # ------------------------------------------------------------------ excerpts
    def _pick(self, songs: list[Song], rng: Generator) -> Song:
        return songs[int(rng.choice(len(songs), p=self._weights[id(songs)]))]

    def _excerpt(self, song: Song, rng: Generator, names: tuple[str, ...]) -> list[Wave]:
        """The same random excerpt of several stems, at a slightly wrong speed by chance."""
        rate = float(2.0 ** (rng.uniform(-2, 2) / 12)) if rng.random() < self.recipe.resampled else 1.0
        needed = self.frames if rate == 1.0 else int(self.frames * rate) + 8
        start = int(rng.integers(0, max(1, song.frames - needed)))
        waves = [self.cache.read(song, name, start, needed) for name in names]
        return waves if rate == 1.0 else [effects.resample(wave, rate, self.frames) for wave in waves]

    def _stem_gain(self, rng: Generator) -> float:
        return from_db(rng.uniform(-self.recipe.stem_gain_db, self.recipe.stem_gain_db))

    # ------------------------------------------------------------------ parts
    def _true_mix(self, rng: Generator) -> tuple[Wave, Wave]:
        if self.clips and (not self.pairs or rng.random() < self.recipe.clips):
            stems = self._excerpt(self._pick(self.clips, rng), rng, ("vocals", *BACKING))
            stems = [stem * np.float32(self._stem_gain(rng)) for stem in stems]
            return stems[0], stems[1] + stems[2] + stems[3]
        voice, music = self._excerpt(self._pick(self.pairs, rng), rng, ("vocals", "accompaniment"))
        return voice * np.float32(from_db(rng.uniform(-3, 3))), music

    def _voice(self, rng: Generator) -> tuple[Wave, float]:
        """A voice and the frequency its recording ends at; one that sings, if a few tries find it."""
        r, choice = self.recipe, rng.random()
        voice, band_hz = np.zeros((2, self.frames), np.float32), RATE / 2
        for _ in range(4):
            if self.clips and (choice < r.musdb_voices or not self.voices):
                song = self._pick(self.clips, rng)
            elif self.pairs and choice < r.musdb_voices + r.song_voices:
                song = self._pick(self.pairs, rng)
            else:
                song = self._pick(self.voices or self.pairs, rng)
            (voice,), band_hz = self._excerpt(song, rng, ("vocals",)), song.band_hz
            if rms(voice) > QUIET:
                return (effects.produce(voice, rng) if song.kind == "voice" else voice), band_hz
        return voice, band_hz

    def _music(self, rng: Generator) -> Wave:
        r, choice = self.recipe, rng.random()
        if self.clips and choice < r.clip_backings + r.shuffled_backings:
            if choice >= r.clip_backings:
                stems = [self._excerpt(self._pick(self.clips, rng), rng, (name,))[0] for name in BACKING]
            else:
                stems = self._excerpt(self._pick(self.clips, rng), rng, BACKING)
            mixed = np.zeros((2, self.frames), np.float32)
            for stem in stems:
                mixed += stem * np.float32(self._stem_gain(rng))
            return mixed
        from_songs = choice < r.clip_backings + r.shuffled_backings + r.song_backings
        if self.pairs and (from_songs or not self.music):
            return self._excerpt(self._pick(self.pairs, rng), rng, ("accompaniment",))[0]
        if self.music:
            return self._excerpt(self._pick(self.music, rng), rng, ("music",))[0]
        return self._true_mix(rng)[1]

    def _random_pair(self, rng: Generator) -> tuple[Wave, Wave, float]:
        (voice, band_hz), music = self._voice(rng), self._music(rng)
        voice = _balanced(voice, music, float(np.clip(rng.normal(-2, 4), -12, 8)))
        if rng.random() < self.recipe.second_voice:
            other, other_band_hz = self._voice(rng)
            voice = voice + _balanced(other, voice, rng.uniform(-14, -4))
            band_hz = min(band_hz, other_band_hz)
        return voice, music, band_hz

    # ------------------------------------------------------------------ whole mixtures
    def sample(self, rng: Generator, true_share: float) -> tuple[Wave, Wave]:
        """Return (voice, music), each [2, frames]; `true_share` of them belong together."""
        r, band_hz = self.recipe, RATE / 2
        if rng.random() < true_share:
            voice, music = self._true_mix(rng)
        else:
            voice, music, band_hz = self._random_pair(rng)
        kind = rng.random()
        if kind < r.voiceless:
            voice, band_hz = np.zeros_like(voice), RATE / 2
        elif kind < r.voiceless + r.voice_only:
            music = music * np.float32(1e-3)
        if rng.random() < 0.5:
            voice = voice[::-1]
        if rng.random() < 0.5:
            music = music[::-1]
        if rng.random() < 0.5:
            voice = -voice
        if rng.random() < r.mono:
            voice, music = (np.repeat(wave.mean(0, keepdims=True), 2, 0) for wave in (voice, music))

        both = np.stack([voice, music])
        tone, cutoff_hz = rng.random() < r.toned, None
        if rng.random() < r.low_passed:
            cutoff_hz = rng.uniform(6000, 19000)
        if band_hz < RATE / 2:  # a voice without highs would teach that voices have none
            cutoff_hz = min(band_hz, cutoff_hz or band_hz)
        if tone or cutoff_hz is not None:
            both = effects.equalise(both, rng, tone, cutoff_hz)
        level = from_db(float(np.clip(rng.normal(*r.level_db), -45, -6)))
        both = both * np.float32(level / max(rms(both.sum(0)), 1e-4))
        return both[0], both[1]

    def batch(self, seed: tuple[int, ...], size: int, true_share: float) -> NDArray[np.float32]:
        """Return [size, 2 (voice, mix), 2, frames] from a seed: the same every time."""
        rng = np.random.default_rng(seed)
        drawn = [self.sample(rng, true_share) for _ in range(size)]
        return np.stack([np.stack([voice, voice + music]) for voice, music in drawn])


def _balanced(wave: Wave, against: Wave, level_db: float) -> Wave:
    """Scale `wave` to `level_db` relative to `against`, by their active levels; silence stays silence."""
    own, other = active_rms(wave), active_rms(against)
    if own < 1e-5:
        return wave * np.float32(0)
    return wave * np.float32((other if other > 1e-5 else 0.1) / own * from_db(level_db))
