"""The robustness measures: one function for each measure, with its limit.

Silence must stay silent, an instrumental must not leak into the voice, and a voice alone must not be
attenuated. Speech must be separated as well as singing. Level and sample rate of the input must not change
the scores much. All excerpts are chosen by the recordings alone, so that two models get the same ones.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import soxr

from train.data.cache import OTHER_RATE, RATE, AudioCache, Song
from train.data.effects import Wave, active_rms, from_db, rms
from train.data.tracks import Stems
from train.score.bands import bass_under_vowels, treble_beside_sibilants
from train.score.evaluate import Skipped
from train.score.measuring import NO_SONGS, Bench, Clip, Measure, Worker, read_clip
from train.score.metrics import BssEval, frame_sdr, level_db, over_frames, standard_error
from train.score.scores import TARGETS, Content

SILENT_DB = -120.0
"""Maximum RMS of silence in dBFS: 24 dB below the last of 16 bits."""

FAINT_DB = -60.0
"""Minimum RMS of an excerpt in dBFS; fainter ones are not measured."""

LEAK_DB = -20.0
LEAK_SECONDS = 20
LOSS_DB = -1.0
DRY_DB = -20.0  # RMS of the excerpt, dBFS
DRY_SECONDS = 10
DRY_EXCERPTS = 3  # at most, of one group of a source
SPEECH_DB = 1.0
SPEECH_SECONDS = 5
SPEECH_PIECES = 6
LEVEL_DB = 0.5
LEVELS_DB = (-20, 20)  # of the input, against what it is
RATE_DB = 0.3

AS_IS, AT_OTHER_RATE = "as it is", f"{OTHER_RATE} Hz"  # ways to play a clip, beside levels

SPEECH, SINGING = "speech", "singing"  # in the names of sources
NO_MUSIC = "the cache holds no held-back instrumentals"


# ---------------------------------------------------------------------- silence
def silence(bench: Bench) -> Measure:
    """Measure the peak of the voice for an input of zeros; it must be zero."""
    measure = Measure("silence", "peak of the voice found in silence", "dBFS", "exactly 0 (-inf dBFS)")
    peak = float(np.abs(bench.worker.play(np.zeros((2, 3 * RATE), np.float32))[0]).max())
    return measure.found(_db(peak), peak == 0, peak=peak)


def silence_after_music(bench: Bench) -> Measure:
    """Measure both stems in the third second after loud music (5 s, peak at 0 dBFS) has stopped."""
    asks = "the louder stem, 2 to 3 s after loud music"
    measure = Measure("silence after music", asks, "dBFS", f"at most {SILENT_DB:g} dBFS")
    for song in bench.select("music"):
        music = _loudest(bench.worker.cache.read(song, "music"), 5 * RATE)
        if not _is_faint(music):
            mix = np.pad(music / np.abs(music).max(), ((0, 0), (0, 3 * RATE)))
            vocals, instrumental = (_db(rms(stem[:, -RATE:])) for stem in bench.worker.play(mix))
            louder = max(vocals, instrumental)
            details = {"piece": song.name, "vocals_dbfs": vocals, "instrumental_dbfs": instrumental}
            return measure.found(louder, louder <= SILENT_DB, **details)
    return measure.not_measured(NO_MUSIC)


# ---------------------------------------------------------------------- one stem alone
def leak(bench: Bench) -> Measure:
    """Measure the level of the voice stem for music without voice."""
    asks = "voice found in instrumentals, against the input"
    measure = Measure("leak", asks, "dB", f"mean at most {LEAK_DB:g} dB")
    pieces = bench.select("music")
    if not pieces:
        return measure.not_measured(NO_MUSIC)
    return _by_mean(measure, pieces, bench.each(_leak, pieces, "leak"), LEAK_DB, sign=1)


def _leak(worker: Worker, song: Song) -> float:
    music = _middle(worker.cache, song, LEAK_SECONDS * RATE)
    return math.nan if _is_faint(music) else level_db(worker.play(music)[0], music)


def dry_voice(bench: Bench) -> Measure:
    """Measure the attenuation of a voice without accompaniment."""
    asks = "voice found in singing alone, against the input"
    measure = Measure("dry voice", asks, "dB", f"mean at least {LOSS_DB:g} dB")
    by_group: dict[tuple[str, str], list[Song]] = defaultdict(list)
    for song in bench.select("voice"):
        if SPEECH not in song.source:
            by_group[song.source, song.group].append(song)
    voices = [song for songs in by_group.values() for song in songs[:DRY_EXCERPTS]]
    if not voices:
        return measure.not_measured("the cache holds no held-back singing")
    return _by_mean(measure, voices, bench.each(_dry, voices, "dry voice"), LOSS_DB, sign=-1)


def _dry(worker: Worker, song: Song) -> float:
    voice = _loudest(worker.cache.read(song, "vocals"), DRY_SECONDS * RATE)
    if _is_faint(voice):
        return math.nan
    voice *= np.float32(from_db(DRY_DB) / rms(voice))
    return level_db(worker.play(voice)[0], voice)


def _by_mean(measure: Measure, songs: list[Song], levels: list[float], bar: float, sign: int) -> Measure:
    # `sign`: 1 if the bar is a maximum, -1 if it is a minimum. A level of nan: the excerpt is too faint.
    pairs = list(zip(songs, levels, strict=True))
    rows: list[Content] = [
        {"name": song.name, "source": song.source, "db": db} for song, db in pairs if not math.isnan(db)
    ]
    left_out = [song.name for song, db in pairs if math.isnan(db)]
    if not rows:
        return measure.not_measured(f"all of {len(pairs)} excerpts are silent", left_out=left_out)
    by_source = defaultdict(list)
    for row in rows:
        by_source[row["source"]].append(row["db"])
    values = np.array([row["db"] for row in rows])
    mean = float(np.mean(values))
    return measure.found(
        mean,
        sign * mean <= sign * bar,
        mean=mean,
        se=standard_error(values),
        median=float(np.median(values)),
        worst=sorted(rows, key=lambda row: -sign * row["db"])[:3],
        means_by_source={source: float(np.mean(of)) for source, of in by_source.items()},
        excerpts=rows,
        left_out=left_out,
    )


# ---------------------------------------------------------------------- speech
def speech(bench: Bench) -> Measure:
    """Measure the SDR of singing over music, less that of equally loud speech by the same actor."""
    asks = "SDR of singing over music, less that of speech"
    measure = Measure("speech", asks, "dB", f"mean at most {SPEECH_DB:g} dB")
    pairs, music = speech_pairs(bench.select("voice")), bench.select("music")
    if not pairs:
        return measure.not_measured("the cache holds no held-back speech with singing as its counterpart")
    if not music:
        return measure.not_measured(NO_MUSIC)
    spread = np.linspace(0, len(music) - 1, min(SPEECH_PIECES, len(music))).round().astype(int)
    tasks = [(*pair, music[i]) for pair in pairs for i in spread]
    rows = [row for row in bench.each(_compare_speech, tasks, "speech") if row is not None]
    if not rows:
        return measure.not_measured("the voices or the instrumentals are silent, or shorter than 1 s")
    keys = ("singing_sdr", "speech_sdr", "singing_mixture_sdr", "speech_mixture_sdr")
    sung, spoken, sung_mix, spoken_mix = (np.array([row[key] for row in rows]) for key in keys)
    mean = float(np.mean(sung - spoken))
    return measure.found(
        mean,
        mean <= SPEECH_DB,
        mean=mean,
        median=float(np.median(sung - spoken)),
        singing_sdr_mean=float(sung.mean()),
        speech_sdr_mean=float(spoken.mean()),
        # Difference of the unprocessed mixtures: speech has other pauses.
        unprocessed_mean=float(np.mean(sung_mix - spoken_mix)),
        actors=len(pairs),
        pieces=len(spread),
        pairs=rows,
    )


def speech_pairs(voices: Sequence[Song]) -> list[tuple[Song, Song]]:
    """Return speech and singing of each actor; if the names share no actor, in their order.

    The counterpart of a source has its name, with "singing" in place of "speech".
    """

    def actors(source: str) -> dict[str, Song]:  # the first recording of each
        songs = [song for song in voices if song.source == source]
        names = [(song.group or song.name).replace(source, "") for song in songs]
        return {name: songs[names.index(name)] for name in names}

    pairs: list[tuple[Song, Song]] = []
    for source in sorted({song.source for song in voices if SPEECH in song.source}):
        spoken, sung = actors(source), actors(source.replace(SPEECH, SINGING))
        same = [(spoken[actor], sung[actor]) for actor in spoken if actor in sung]
        pairs += same or list(zip(spoken.values(), sung.values(), strict=False))
    return pairs


def _compare_speech(worker: Worker, task: tuple[Song, Song, Song]) -> Content | None:
    spoken, sung, piece = task
    frames = min(SPEECH_SECONDS * RATE, spoken.frames, sung.frames)
    music = _middle(worker.cache, piece, frames)
    row: Content = {"piece": piece.name}
    for kind, song in ((SPEECH, spoken), (SINGING, sung)):
        voice = _loudest(worker.cache.read(song, "vocals"), music.shape[1])
        if _is_faint(voice) or _is_faint(music):
            return None
        voice *= np.float32(active_rms(music) / active_rms(voice))
        mix = voice + music
        row[kind] = song.name
        row[f"{kind}_sdr"] = over_frames(frame_sdr(voice, worker.play(mix)[0], RATE))
        row[f"{kind}_mixture_sdr"] = over_frames(frame_sdr(voice, mix, RATE))
        if math.isnan(row[f"{kind}_sdr"]):
            return None
    return row


# ---------------------------------------------------------------------- level and rate
def level(bench: Bench) -> Measure:
    """Measure the change of scores with the level of the input."""
    asks = f"mean change of a clip's SDR at {LEVELS_DB[0]:+d} and {LEVELS_DB[1]:+d} dB"
    measure = Measure("level", asks, "dB", f"at most {LEVEL_DB:g} dB either way")
    return _by_change(measure, bench, [_at(db) for db in LEVELS_DB], LEVEL_DB)


def rate(bench: Bench) -> Measure:
    """Measure the change of scores with the sample rate of the input."""
    asks = f"mean change of a clip's SDR at {OTHER_RATE} Hz"
    measure = Measure("rate", asks, "dB", f"at most {RATE_DB:g} dB either way")
    return _by_change(measure, bench, [AT_OTHER_RATE], RATE_DB)


def _at(level: int) -> str:
    return f"{level:+d} dB"


def score_clip(worker: Worker, clip: Clip) -> Content | Skipped:
    """Return the SDR of a clip as it is, at other levels and at another rate."""
    track = read_clip(worker, clip)
    if isinstance(track, Skipped):
        return track
    assert track.stems is not None
    bss = BssEval(track.stems, RATE)
    found = {AS_IS: _sdr(bss, worker.play(track.mix))}
    for db in LEVELS_DB:
        gain = np.float32(from_db(db))
        vocals, others = worker.play(track.mix * gain)
        found[_at(db)] = _sdr(bss, (vocals / gain, others / gain))
    played = worker.play(_resampled(track.mix, RATE, OTHER_RATE), OTHER_RATE)
    vocals, others = (_cut(_resampled(stem, OTHER_RATE, RATE), track.mix.shape[1]) for stem in played)
    found[AT_OTHER_RATE] = _sdr(bss, (vocals, others))
    return {"clip": track.name, "seconds": track.seconds, "sdr": found}


def _sdr(bss: BssEval, stems: Stems) -> dict[str, float]:
    # As in `evaluate`: the median over frames of 1 s.
    return dict(zip(TARGETS, map(over_frames, bss.score(stems)["sdr"]), strict=True))


def _by_change(measure: Measure, bench: Bench, variants: list[str], limit: float) -> Measure:
    if not bench.clips:
        return measure.not_measured(NO_SONGS)
    rows, skipped = bench.of_clips(score_clip, "level, rate")
    if not rows:
        return measure.not_measured(f"none of {len(skipped)} clips can be read; first: {skipped[0].reason}")
    medians: dict[str, dict[str, float]] = {}
    changes: dict[str, dict[str, dict[str, float]]] = {variant: {} for variant in variants}
    for target in TARGETS:
        plain = np.array([row["sdr"][AS_IS][target] for row in rows])
        known = ~np.isnan(plain)
        if not known.any():
            return measure.not_measured("no clip gives a figure: the stems or their estimates are silent")
        medians[target] = {AS_IS: float(np.median(plain[known]))}
        for variant in variants:
            values = np.array([row["sdr"][variant][target] for row in rows])[known]
            values[np.isnan(values)] = -np.inf  # silent only in this variant
            medians[target][variant] = float(np.median(values))
            changes[variant][target] = {
                "mean_paired": float(np.mean(values - plain[known])),
                "se_paired": standard_error(values - plain[known]) if np.isfinite(values).all() else math.nan,
                "median_paired": float(np.median(values - plain[known])),
                "of_median": medians[target][variant] - medians[target][AS_IS],
            }
    largest = max((of[target]["mean_paired"] for of in changes.values() for target in TARGETS), key=abs)
    details = {"medians": medians, "changes": changes, "clips": len(rows), "skipped": len(skipped)}
    return measure.found(largest, abs(largest) <= limit, **details)


MEASURES: tuple[Callable[[Bench], Measure], ...] = (
    silence, silence_after_music, leak, dry_voice, speech, level, rate,
    bass_under_vowels, treble_beside_sibilants,
)  # fmt: skip


# ---------------------------------------------------------------------- excerpts
def _middle(cache: AudioCache, song: Song, frames: int) -> Wave:
    frames = min(frames, song.frames)
    return cache.read(song, "music", (song.frames - frames) // 2, frames)


def _loudest(wave: Wave, frames: int) -> Wave:
    # The loudest `frames` of [2, n], to a tenth of a second; all of a shorter recording.
    if wave.shape[1] <= frames:
        return wave
    step, count = RATE // 10, -(-frames * 10 // RATE)
    energy = np.add.reduceat(np.square(wave).sum(0), np.arange(0, wave.shape[1], step), dtype=np.float64)
    until = np.pad(np.cumsum(energy), (1, 0))
    starts = (wave.shape[1] - frames) // step + 1
    start = step * int(np.argmax((until[count:] - until[:-count])[:starts]))
    return wave[:, start : start + frames].copy()


def _resampled(wave: Wave, rate: int, wanted: int) -> Wave:
    return np.ascontiguousarray(soxr.resample(wave.T, rate, wanted).T, np.float32)


def _cut(wave: Wave, frames: int) -> Wave:
    return np.pad(wave[:, :frames], ((0, 0), (0, max(0, frames - wave.shape[1]))))


def _is_faint(wave: Wave) -> bool:
    return not wave.size or _db(rms(wave)) < FAINT_DB


def _db(amplitude: float) -> float:
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf if amplitude == 0 else math.nan
