"""Training mixtures, made on the fly: real songs, random combinations, voices alone, music alone.

A mixture is a pair (voice, music) [2, n], added at the very end, so that voice + music == mix always holds.
All random numbers come from one generator: equal seeds give equal mixtures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rtsep.errors import InputFileError
from train.data import effects
from train.data.cache import OTHER_RATE, RATE, AudioCache, Song
from train.data.effects import Production, Wave, active_rms, from_db, rms
from train.data.licences import is_open

BACKING = ("drums", "bass", "other")
SHARE = {"utau": 0.3}
"""Weights of sets that are drawn less often than by their length: syllables on one pitch are no songs."""

QUIET = 3e-3
"""Minimum RMS of the voice of an excerpt; one below it is drawn again if a voice is wanted."""


@dataclass(frozen=True)
class Recipe:
    """Probabilities of the ways of mixing and of effects, 0 to 1 unless a unit is given."""

    clips: float = 0.78  # of true mixes: four-stem songs (the rest: whole songs of two stems)
    musdb_voices: float = 0.45  # of random pairs, whose voice comes from: four-stem songs,
    song_voices: float = 0.15  # two-stem songs (the rest: solo voices, produced)
    clip_backings: float = 0.35  # of random pairs, whose music comes from: one four-stem song,
    shuffled_backings: float = 0.2  # stems of several,
    song_backings: float = 0.15  # two-stem songs (the rest: instrumentals)
    second_voice: float = 0.12  # of random pairs
    speech: float = 1.0  # how often spoken voices are drawn, against sung ones of their length
    compressed: float = 0.5  # of solo voices, which are dry:
    panned: float = 0.35  # effects of a production on them
    roomy: float = 0.65
    echoing: float = 0.25
    doubled: float = 0.25
    overlaid: float = 0.0  # of mixtures: an instrumental of another piece joins the music
    voiceless: float = 0.06
    voiceless_music: float = 0.0  # of those: instrumentals (the rest: mostly accompaniments of songs)
    voice_only: float = 0.02
    swapped: float = 0.5  # left and right, of voice and of music
    inverted: float = 0.5  # polarity, of voice and of music
    mono: float = 0.06
    resampled: float = 0.4  # of excerpts: pitch and speed
    semitones: float = 2.0  # +-, by how much
    other_rate: float = 0.0  # of further excerpts: like the input of a net at OTHER_RATE
    jittered: float = 0.25  # of backings by one song: its stems shifted in time against each other,
    jitter_ms: float = 40.0  # +-, by how much
    toned: float = 0.5  # one equaliser over the whole mixture
    voice_toned: float = 0.25  # of random pairs: one more over the voice alone, like another microphone
    retoned: float = 0.0  # of true mixes: the same, like another producer
    low_passed: float = 0.3  # the whole mixture, like after a lossy codec
    stem_gain_db: float = 4.0  # +-, each stem of a true mix
    jumped: float = 0.0  # of mixtures: louder or quieter at one moment,
    jump_db: float = 20.0  # +-, by how much
    level_db: tuple[float, float] = (-19.0, 5.0)  # RMS of mixtures as they are released: mean, deviation
    live: float = 0.3  # of mixtures: at any level of a microphone or a bus,
    live_level_db: tuple[float, float] = (-45.0, -12.0)  # anything between these
    open_only: bool = False  # of recordings under open licences alone (`train.data.licences.OPEN`)
    all_clips: bool = False  # also four-stem songs of validation: for a last run, after all decisions


def drawn_from(cache: AudioCache, recipe: Recipe, split: str = "train") -> list[Song]:
    """Return the songs of a cache that a recipe draws from."""
    songs = cache.select(split)
    if recipe.all_clips and split == "train":
        songs += cache.select("valid", "stems")
    return [song for song in songs if is_open(song.licence)] if recipe.open_only else songs


class Remixer:
    """Draws mixtures from the training (or validation) songs of a cache."""

    def __init__(
        self, cache: AudioCache, frames: int, split: str = "train", recipe: Recipe = Recipe()
    ) -> None:
        self.cache, self.frames, self.recipe = cache, frames, recipe
        r = recipe
        self._production = Production(r.compressed, r.panned, r.roomy, r.echoing, r.doubled)
        drawn = drawn_from(cache, recipe, split)

        def long_enough(kind: str) -> list[Song]:
            long = (song for song in drawn if song.kind == kind and song.frames >= RATE)
            return [song for song in long if self._weight(song) > 0]

        self.clips, self.pairs = long_enough("stems"), long_enough("pair")
        self.voices, self.music = long_enough("voice"), long_enough("music")
        self._weights: dict[int, NDArray[np.float64]] = {}
        for songs in (self.clips, self.pairs, self.voices, self.music):
            weights = np.asarray([self._weight(song) for song in songs])
            self._weights[id(songs)] = weights / weights.sum() if songs else weights
        if not (self.clips or self.pairs or (self.voices and self.music)):
            raise InputFileError(
                f"the cache has no material for mixtures in split '{split}': prepare songs with stems, "
                "or solo voices and instrumentals, of a second and more"
            )

    def _weight(self, song: Song) -> float:
        # Long recordings are drawn more often, but not in proportion: many singers are better than one.
        weight = float(np.sqrt(min(song.frames, 120 * RATE) * SHARE.get(song.source, 1.0)))
        return weight * (self.recipe.speech if "speech" in song.source else 1.0)

    # ------------------------------------------------------------------ excerpts
    def _pick(self, songs: list[Song], rng: Generator) -> Song:
        return songs[int(rng.choice(len(songs), p=self._weights[id(songs)]))]

    def _excerpt(
        self, song: Song, rng: Generator, names: tuple[str, ...], jitter_ms: float = 0.0
    ) -> list[Wave]:
        """Return the same random excerpt of several stems, sometimes at a slightly changed speed.

        A shorter song is placed at random, with silence around it. `jitter_ms` is the maximum random shift of
        each stem. A stem that the song does not have is silence.
        """
        r = self.recipe
        rate, kind = 1.0, rng.random()
        if kind < r.resampled:
            rate = float(2.0 ** (rng.uniform(-r.semitones, r.semitones) / 12))
        elif kind < r.resampled + r.other_rate:
            rate = RATE / OTHER_RATE
        needed = self.frames if rate == 1.0 else int(self.frames * rate) + 8
        room = song.frames - needed
        start = int(rng.integers(0, max(1, room))) if room >= 0 else -int(rng.integers(0, 1 - room))
        waves = []
        for name in names:
            moved = round(rng.uniform(-jitter_ms, jitter_ms) * 1e-3 * RATE) if jitter_ms else 0
            if name in song.stems:
                waves.append(self.cache.read(song, name, start + moved, needed))
            else:
                waves.append(np.zeros((2, needed), np.float32))
        return waves if rate == 1.0 else [effects.resample(wave, rate, self.frames) for wave in waves]

    def _stem_gain(self, rng: Generator) -> float:
        return from_db(rng.uniform(-self.recipe.stem_gain_db, self.recipe.stem_gain_db))

    # ------------------------------------------------------------------ parts
    def _true_mix(self, rng: Generator) -> tuple[Wave, Wave]:
        if self.clips and (not self.pairs or rng.random() < self.recipe.clips):
            stems = self._excerpt(self._pick(self.clips, rng), rng, ("vocals", *BACKING))
            stems = [stem * np.float32(self._stem_gain(rng)) for stem in stems]
            return stems[0], stems[1] + stems[2] + stems[3]
        # A pair whose spectrum ends at 8 kHz gives a mixture that ends there, so no filter is needed.
        voice, music = self._excerpt(self._pick(self.pairs, rng), rng, ("vocals", "accompaniment"))
        return voice * np.float32(from_db(rng.uniform(-3, 3))), music

    def _voice(self, rng: Generator) -> tuple[Wave, float]:
        """Return a voice and the upper band limit of its recording; a few tries look for an audible one."""
        r, choice = self.recipe, rng.random()
        voice, band_hz = np.zeros((2, self.frames), np.float32), RATE / 2
        solo = max(0.0, 1.0 - r.musdb_voices - r.song_voices)
        shares = (r.musdb_voices, self.clips), (r.song_voices, self.pairs), (solo, self.voices)
        songs = _kind(choice, shares)
        for _ in range(4):
            song = self._pick(songs, rng)
            (voice,), band_hz = self._excerpt(song, rng, ("vocals",)), song.band_hz
            if rms(voice) > QUIET:
                if song.kind == "voice":
                    voice = effects.produce(voice, rng, self._production)
                return voice, band_hz
        return voice, band_hz

    def _music(self, rng: Generator) -> tuple[Wave, float]:
        """Return music and the upper band limit of its recording."""
        r, choice = self.recipe, rng.random()
        if self.clips and (choice < r.clip_backings + r.shuffled_backings or not (self.pairs or self.music)):
            if r.clip_backings <= choice < r.clip_backings + r.shuffled_backings:
                songs = [self._pick(self.clips, rng) for _ in BACKING]
                stems = [
                    self._excerpt(song, rng, (name,))[0] for song, name in zip(songs, BACKING, strict=True)
                ]
            else:
                songs = [self._pick(self.clips, rng)]
                jitter_ms = r.jitter_ms if rng.random() < r.jittered else 0.0
                stems = self._excerpt(songs[0], rng, BACKING, jitter_ms)
            mixed = np.zeros((2, self.frames), np.float32)
            for stem in stems:
                mixed += stem * np.float32(self._stem_gain(rng))
            return mixed, min(song.band_hz for song in songs)
        from_songs = choice < r.clip_backings + r.shuffled_backings + r.song_backings
        if self.pairs and (from_songs or not self.music):
            song, name = self._pick(self.pairs, rng), "accompaniment"
        else:
            song, name = self._pick(self.music, rng), "music"
        return self._excerpt(song, rng, (name,))[0], song.band_hz

    def _random_pair(self, rng: Generator) -> tuple[Wave, Wave, float]:
        (voice, band_hz), (music, music_band_hz) = self._voice(rng), self._music(rng)
        band_hz = min(band_hz, music_band_hz)
        voice = _balanced(voice, music, float(np.clip(rng.normal(-2, 4), -12, 8)))
        if rng.random() < self.recipe.second_voice:
            other, other_band_hz = self._voice(rng)
            voice = voice + _balanced(other, voice, rng.uniform(-14, -4))
            band_hz = min(band_hz, other_band_hz)
        return voice, music, band_hz

    def _turned(self, wave: Wave, rng: Generator) -> Wave:
        if rng.random() < self.recipe.swapped:
            wave = wave[::-1]
        return -wave if rng.random() < self.recipe.inverted else wave

    # ------------------------------------------------------------------ whole mixtures
    def sample(self, rng: Generator, true_share: float) -> tuple[Wave, Wave]:
        """Return (voice, music), each [2, frames]; a share `true_share` are real songs."""
        r, band_hz = self.recipe, RATE / 2
        paired = rng.random() >= true_share or not (self.clips or self.pairs)
        if paired:
            voice, music, band_hz = self._random_pair(rng)
        else:
            voice, music = self._true_mix(rng)
        if self.music and rng.random() < r.overlaid:
            song = self._pick(self.music, rng)
            (other,), band_hz = self._excerpt(song, rng, ("music",)), min(band_hz, song.band_hz)
            music = music + _balanced(other, music, rng.uniform(-12, 0))
        kind = rng.random()
        if kind < r.voiceless:
            if self.music and rng.random() < r.voiceless_music:
                (music,) = self._excerpt(self._pick(self.music, rng), rng, ("music",))
            voice, band_hz = np.zeros_like(voice), RATE / 2
        elif kind < r.voiceless + r.voice_only:
            music = music * np.float32(1e-3)
        voice, music = self._turned(voice, rng), self._turned(music, rng)
        if rng.random() < r.mono:
            voice, music = (np.repeat(wave.mean(0, keepdims=True), 2, 0) for wave in (voice, music))

        both = np.stack([voice, music])
        tone, cutoff_hz = rng.random() < r.toned, None
        if rng.random() < r.low_passed:
            cutoff_hz = rng.uniform(6000, 19000)
        if band_hz < RATE / 2:  # else the net would learn that voices have no highs
            cutoff_hz = min(band_hz, cutoff_hz or band_hz)
        toned_voices = r.voice_toned if paired else r.retoned
        voice_tone = toned_voices > 0 and rng.random() < toned_voices
        if tone or voice_tone or cutoff_hz is not None:
            both = effects.equalise(both, rng, tone, cutoff_hz, voice_tone)
        if rng.random() < r.jumped:
            both = effects.jump(both, rng, r.jump_db)
        if rng.random() < r.live:
            level_db = rng.uniform(*r.live_level_db)
        else:
            level_db = float(np.clip(rng.normal(*r.level_db), -45, -6))
        level = from_db(level_db)
        both = both * np.float32(level / max(rms(both.sum(0)), 1e-4))
        return both[0], both[1]

    def batch(self, seed: tuple[int, ...], size: int, true_share: float) -> NDArray[np.float32]:
        """Return the batch [size, 2 (voice, mix), 2, frames] of a seed."""
        rng = np.random.default_rng(seed)
        drawn = [self.sample(rng, true_share) for _ in range(size)]
        return np.stack([np.stack([voice, voice + music]) for voice, music in drawn])


def _kind(choice: float, shares: tuple[tuple[float, list[Song]], ...]) -> list[Song]:
    """Return the songs of the kind whose share `choice` (0..1) falls into, among the kinds that exist."""
    present = [(share, songs) for share, songs in shares if songs]
    choice, edge = choice * sum(share for share, _ in present), 0.0
    for share, songs in present:
        edge += share
        if choice < edge:
            return songs
    return present[-1][1]


def _balanced(wave: Wave, against: Wave, level_db: float) -> Wave:
    """Scale `wave` to `level_db` relative to `against`, by active levels; silence stays silence."""
    own, other = active_rms(wave), active_rms(against)
    if own < 1e-5:
        return wave * np.float32(0)
    return wave * np.float32((other if other > 1e-5 else 0.1) / own * from_db(level_db))
