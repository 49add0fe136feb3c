import dataclasses
import json
import shutil

import numpy as np
import pytest

from rtsep.errors import InputFileError
from train.data import effects
from train.data.cache import AUDIO, INDEX, OTHER_RATE, RATE, AudioCache
from train.data.licences import data_of
from train.data.readers.splits import HELD_OUT, YARDSTICK, musdb_validation
from train.data.remix import Recipe, Remixer, drawn_from


def test_cache_splits_and_names_what_is_broken(cache):
    songs = {song.name: song for song in AudioCache(cache).songs}
    assert not set(HELD_OUT) & set(songs), "held-out songs are not even decoded"
    assert sum(song.split == "valid" for song in songs.values()) == 1
    assert {song.kind for song in songs.values()} == {"stems", "pair", "voice"}
    assert songs["b/train/dull"].band_hz < 8000
    song = songs["lithium"]
    wave = AudioCache(cache).read(song, "vocals", song.frames - 100, 200)
    assert wave.shape == (2, 200) and wave[:, :100].any() and not wave[:, 100:].any()
    assert song.frames == pytest.approx(3 * RATE, abs=RATE // 20)


def test_missing_cache_says_what_to_do(tmp_path):
    with pytest.raises(InputFileError, match="train prepare"):
        AudioCache(tmp_path)


def test_an_index_of_other_audio_is_refused(cache, tmp_path):
    shutil.copytree(cache, tmp_path / "c")
    index = json.loads((tmp_path / "c" / INDEX).read_text())
    assert index["values"] * 2 == (tmp_path / "c" / AUDIO).stat().st_size
    with (tmp_path / "c" / AUDIO).open("ab") as file:
        file.write(b"\0\0")
    with pytest.raises(InputFileError, match=r"index.json is not of this audio.i16.*prepare' again"):
        AudioCache(tmp_path / "c")
    del index["values"]
    (tmp_path / "c" / INDEX).write_text(json.dumps(index))
    assert AudioCache(tmp_path / "c").songs, "caches of old are read"


def test_before_the_beginning_is_silence(cache):
    held = AudioCache(cache)
    song = held.songs[0]
    whole = held.read(song, "vocals")
    wave = held.read(song, "vocals", -100, 300)
    assert not wave[:, :100].any() and np.array_equal(wave[:, 100:], whole[:, :200])
    assert not held.read(song, "vocals", -300, 200).any()
    padded = held.read(song, "vocals", -7, song.frames + 20)
    assert np.array_equal(padded[:, 7:-13], whole) and not padded[:, -13:].any()


def test_validation_split_is_fixed_and_large_enough():
    names = [f"Band {i} - Song" for i in range(40)] + ["Leaf - Summerghost", "ANiMAL - Clinic A"]
    chosen = musdb_validation(names)
    assert len(chosen) == 20 and chosen == musdb_validation(names[::-1])
    assert "ANiMAL - Clinic A" not in chosen
    assert "Leaf - Summerghost" in chosen, "the yardstick comes first"
    assert musdb_validation([*names, *YARDSTICK]) == set(YARDSTICK)


def test_mixtures_are_sums_and_repeat(cache):
    remixer = Remixer(AudioCache(cache), RATE)
    for seed in range(12):
        voice, music = remixer.sample(np.random.default_rng(seed), true_share=0.5)
        again = remixer.sample(np.random.default_rng(seed), true_share=0.5)
        assert voice.shape == music.shape == (2, RATE) and voice.dtype == np.float32
        assert np.array_equal(voice, again[0]) and np.array_equal(music, again[1])
        assert np.isfinite(voice).all() and np.isfinite(music).all()
        assert -46 < 20 * np.log10(effects.rms(voice + music)) < -5
    batch = remixer.batch((1, 0, 3), 2, 0.5)
    rng = np.random.default_rng((1, 0, 3))
    voice, music = remixer.sample(rng, 0.5)
    assert np.array_equal(batch[0, 0], voice) and np.array_equal(batch[0, 1], voice + music)


def test_remixer_never_touches_validation(cache):
    remixer = Remixer(AudioCache(cache), RATE)
    for songs in (remixer.clips, remixer.pairs, remixer.voices):
        assert songs and all(song.split == "train" for song in songs)


def test_some_mixtures_have_no_voice_and_some_nothing_else(cache):
    remixer = Remixer(AudioCache(cache), 8192, recipe=Recipe(voiceless=0.5, voice_only=0.5))
    for seed in range(8):
        voice, music = remixer.sample(np.random.default_rng(seed), 1.0)
        assert effects.rms(voice) < 1e-6 or effects.rms(music) < 0.02 * effects.rms(voice)


def test_dull_voice_dulls_the_mixture(cache):
    recipe = Recipe(voiceless=0, voice_only=0, musdb_voices=0, song_voices=0)
    remixer = Remixer(AudioCache(cache), RATE, recipe=recipe)
    remixer.voices[:] = [song for song in remixer.voices if song.band_hz < 8000] * len(remixer.voices)
    voice, music = remixer.sample(np.random.default_rng(0), true_share=0.0)
    power = np.square(np.abs(np.fft.rfft((voice + music) * np.hanning(RATE))))
    assert power[:, 8000:].sum() < 1e-5 * power.sum()  # 1 Hz a bin


def test_equaliser_keeps_sums():
    rng = np.random.default_rng(0)
    stems = rng.standard_normal((2, 2, 5000)).astype(np.float32)
    a = effects.equalise(stems, np.random.default_rng(1), True, 9000.0)
    b = effects.equalise(stems.sum(0), np.random.default_rng(1), True, 9000.0)
    np.testing.assert_allclose(a.sum(0), b, atol=1e-4)


def test_resampling_moves_the_pitch():
    time = np.arange(RATE) / RATE
    wave = np.sin(2 * np.pi * 1000 * time).astype(np.float32)[None].repeat(2, 0)
    out = effects.resample(wave, 1.1, 30000)
    peak = np.abs(np.fft.rfft(out[0] * np.hanning(30000))).argmax() * RATE / 30000
    assert peak == pytest.approx(1100, abs=2)


# ---------------------------------------------------------------------- what a recipe changes
PLAIN = {
    "voiceless": 0, "voice_only": 0, "swapped": 0, "inverted": 0, "mono": 0, "resampled": 0, "jittered": 0,
    "toned": 0, "voice_toned": 0, "low_passed": 0, "stem_gain_db": 0, "second_voice": 0, "compressed": 0,
    "panned": 0, "roomy": 0, "echoing": 0, "doubled": 0,
}  # fmt: skip


def remixer_with(cache, frames=8192, **recipe):
    return Remixer(AudioCache(cache), frames, recipe=Recipe(**(PLAIN | recipe)))


def draws(remixer, count, true_share, start=0):
    return [remixer.sample(np.random.default_rng(seed), true_share) for seed in range(start, start + count)]


def alike(a, b):
    """Cosine of the angle between two waves: 1 where they differ by a gain alone."""
    return np.vdot(a, b) / np.sqrt(np.vdot(a, a) * np.vdot(b, b))


def test_delivered_mixture_is_the_sum_to_the_last_bit(cache):
    batch = Remixer(AudioCache(cache), 8192).batch((1, 2, 3), 12, 0.5)
    again = Remixer(AudioCache(cache), 8192).batch((1, 2, 3), 12, 0.5)
    other = Remixer(AudioCache(cache), 8192).batch((1, 2, 4), 12, 0.5)
    assert np.array_equal(batch, again) and not np.array_equal(batch, other)
    remixer, rng = Remixer(AudioCache(cache), 8192), np.random.default_rng((1, 2, 3))
    for voice, mix in batch:
        wanted_voice, music = remixer.sample(rng, 0.5)
        assert np.array_equal(voice, wanted_voice) and np.array_equal(mix, voice + music)


def test_levels_are_those_of_live_inputs_too(cache):
    def levels(remixer):
        return np.asarray([20 * np.log10(effects.rms(v + m)) for v, m in draws(remixer, 150, 0.5)])

    released, live = levels(remixer_with(cache, 2048, live=0)), levels(remixer_with(cache, 2048, live=1))
    assert np.mean(released < -30) < 0.05 < 0.35 < np.mean(live < -30) < 0.6
    assert live.min() > -45.1 and live.max() < -11.9
    both = levels(Remixer(AudioCache(cache), 2048))
    assert 0.05 < np.mean(both < -30) < 0.35, "by default soft inputs are drawn, and are not the rule"


def test_each_switch_of_the_recipe_does_what_it_says(cache):
    plain = draws(remixer_with(cache), 1, 1.0)[0]

    def changed(**recipe):
        return draws(remixer_with(cache, **recipe), 1, 1.0)[0]

    voice, music = changed(inverted=1)
    assert alike(voice, plain[0]) == pytest.approx(-1, abs=1e-4) == alike(music, plain[1])
    voice, music = changed(swapped=1)
    assert np.array_equal(music, plain[1][::-1]) and np.array_equal(voice, plain[0][::-1])
    voice, music = changed(mono=1)
    assert np.array_equal(music[0], music[1]) and not np.array_equal(plain[1][0], plain[1][1])
    for _, music in draws(remixer_with(cache, RATE, low_passed=1), 3, 1.0):
        power = np.square(np.abs(np.fft.rfft(music * np.hanning(RATE))))
        assert power[:, 19100:].sum() < 1e-6 * power.sum()


def test_a_jump_turns_voice_and_music_alike_at_one_moment(cache):
    gains = []
    for (voice, music), plain in zip(
        draws(remixer_with(cache, RATE, jumped=1, jump_db=12, live=0), 6, 1.0),
        draws(remixer_with(cache, RATE, live=0), 6, 1.0),
        strict=True,
    ):
        quiet = 1e-3
        turned = [
            after[np.abs(before) > quiet] / before[np.abs(before) > quiet]
            for after, before in ((voice, plain[0]), (music, plain[1]))
        ]
        first, last = ({round(float(gain[end]), 3) for gain in turned} for end in (0, -1))
        assert len(first) == len(last) == 1, "both by the same"
        gains.append(20 * np.log10(last.pop() / first.pop()))
    assert np.ptp(gains) > 3 and max(map(abs, gains)) < 12.1
    assert min(gains) < 0 < max(gains)


def with_instrumental(cache, frames, **recipe):
    held = AudioCache(cache)
    clip = held.select("train", "stems")[0]
    held.songs.append(dataclasses.replace(clip, kind="music", stems={"music": clip.stems["other"]}))
    return Remixer(held, frames, recipe=Recipe(**(PLAIN | recipe)))


def test_voiceless_music_is_of_instrumentals_as_often_as_asked(cache):
    def picked(share):
        remixer = with_instrumental(cache, 2048, voiceless=1, voiceless_music=share)
        seen, pick = [], remixer._pick
        remixer._pick = lambda songs, rng: seen.append(songs) or pick(songs, rng)
        for voice, _ in draws(remixer, 40, 1.0):
            assert not voice.any()
        return sum(songs is remixer.music for songs in seen)

    assert picked(0.0) == 0 < 10 < picked(0.5) < 30 < picked(1.0) == 40


def test_overlaid_music_adds_to_what_is_there_and_leaves_the_voice(cache):
    (voice, music), plain = (
        draws(with_instrumental(cache, 8192, overlaid=share), 1, 1.0)[0] for share in (1, 0)
    )
    assert alike(voice, plain[0]) == pytest.approx(1, abs=1e-5)
    assert 0.5 < alike(music, plain[1]) < 0.99


def test_stems_of_a_backing_are_moved_against_each_other(cache):
    backing = {"clip_backings": 1.0, "shuffled_backings": 0.0}
    still, moved = (remixer_with(cache, jittered=share, jitter_ms=40, **backing) for share in (0, 1))
    names = []

    def seen(remixer):
        starts = []
        read = remixer.cache.read
        remixer.cache.read = lambda song, name, start, n: (
            starts.append((song.name, start)) or read(song, name, start, n)
        )
        for seed in range(20):
            remixer._music(np.random.default_rng(seed))
        names.extend(name for name, _ in starts)
        return np.asarray([start for _, start in starts]).reshape(20, 3)

    assert np.ptp(seen(still), axis=1).max() == 0
    spread = np.ptp(seen(moved), axis=1)
    assert np.median(spread) > 0 and spread.max() <= 2 * 0.040 * RATE + 2
    assert len(set(names)) > 1
    true = [remixer_with(cache, jittered=share).sample(np.random.default_rng(5), 1.0) for share in (0, 1)]
    assert np.array_equal(true[0][1], true[1][1]), "true mixes stay true"


def test_another_microphone_changes_the_voice_of_random_pairs_alone(cache):
    pairs = {"live": 0, "musdb_voices": 1.0}
    for seed in range(3):
        ((va, ma),) = draws(remixer_with(cache, **pairs), 1, 0.0, seed)
        ((vb, mb),) = draws(remixer_with(cache, voice_toned=1, **pairs), 1, 0.0, seed)
        assert alike(ma, mb) == pytest.approx(1, abs=1e-4) and alike(va, vb) < 0.9999
    ((va, _),) = draws(remixer_with(cache), 1, 1.0)
    ((vb, _),) = draws(remixer_with(cache, voice_toned=1), 1, 1.0)
    assert np.array_equal(va, vb)


def test_pitch_and_speed_stay_within_what_the_recipe_says(cache, monkeypatch):
    rates = []
    resample = effects.resample
    monkeypatch.setattr(effects, "resample", lambda w, rate, n: rates.append(rate) or resample(w, rate, n))
    draws(remixer_with(cache, resampled=1, semitones=2), 40, 1.0)
    semitones = 12 * np.log2(rates)
    assert np.abs(semitones).max() <= 2 and semitones.min() < -1 and semitones.max() > 1


def test_some_excerpts_are_drawn_as_at_the_other_rate(cache, monkeypatch):
    """A second has 48000 samples there: taken for 44100 a second, they are lower and slower."""
    rates = []
    resample = effects.resample
    monkeypatch.setattr(effects, "resample", lambda w, rate, n: rates.append(rate) or resample(w, rate, n))
    draws(remixer_with(cache, other_rate=1), 10, 1.0)
    assert set(rates) == {RATE / OTHER_RATE}
    rates.clear()
    draws(remixer_with(cache, resampled=0.5, other_rate=0.3, semitones=1), 60, 1.0)
    at_other = rates.count(RATE / OTHER_RATE)
    assert 0.3 < at_other / (len(rates) - at_other) < 1.1


def test_spoken_voices_are_drawn_as_often_as_asked(cache):
    remixer = remixer_with(cache)
    spoken = dataclasses.replace(remixer.voices[0], source="ravdess-speech")
    sung = dataclasses.replace(remixer.voices[0], source="ssvd")
    assert remixer._weight(spoken) == remixer._weight(sung)
    assert remixer_with(cache, speech=0.2)._weight(spoken) == pytest.approx(0.2 * remixer._weight(sung))


def test_dull_music_dulls_the_mixture(cache):
    remixer = remixer_with(
        cache, RATE, musdb_voices=1.0, clip_backings=0, shuffled_backings=0, song_backings=1
    )
    remixer.pairs[:] = [dataclasses.replace(song, band_hz=7600.0) for song in remixer.pairs]
    voice, music = remixer.sample(np.random.default_rng(0), true_share=0.0)
    power = np.square(np.abs(np.fft.rfft((voice + music) * np.hanning(RATE))))
    assert power[:, 8000:].sum() < 1e-5 * power.sum()


def test_voices_and_instrumentals_alone_make_mixtures(cache):
    held = AudioCache(cache)
    voices = held.select("train", "voice")
    stems = {"music": voices[0].stems["vocals"]}
    held.songs = [*voices, dataclasses.replace(voices[0], name="m", kind="music", stems=stems)]
    voice, music = Remixer(held, 8192).sample(np.random.default_rng(1), true_share=1.0)
    assert voice.any() and music.any()
    held.songs = voices
    with pytest.raises(InputFileError, match="no material for mixtures in split 'train'"):
        Remixer(held, 8192)


def test_songs_may_lack_a_stem(cache):
    held = AudioCache(cache)
    song = next(song for song in held.songs if song.kind == "stems" and song.split == "train")
    few = {name: song.stems[name] for name in ("vocals", "drums")}
    held.songs = [dataclasses.replace(song, stems=few)]
    for share in (0.0, 1.0):
        for voice, music in draws(Remixer(held, 8192), 6, share):
            assert np.isfinite(voice + music).all() and (voice.any() or music.any())


def test_short_songs_lie_anywhere_in_an_excerpt_all_stems_alike(cache):
    remixer = remixer_with(cache, 3 * RATE)  # songs are of 2 s
    starts = []
    for seed in range(12):
        song = remixer.clips[0]
        waves = remixer._excerpt(song, np.random.default_rng(seed), ("vocals", "drums"))
        sounding = [np.flatnonzero(np.abs(wave).max(0) > 1e-3)[[0, -1]] for wave in waves]
        assert np.abs(sounding[0] - sounding[1]).max() < RATE // 20
        assert np.ptp(sounding[0]) == pytest.approx(song.frames, abs=RATE // 20), "nothing is cut off"
        starts.append(sounding[0][0])
    assert min(starts) < RATE // 4 and max(starts) > 3 * RATE // 4


@pytest.mark.parametrize(
    ("kinds", "shares"),
    [(("stems", "pair"), (0.75, 0.25, 0)), (("stems", "voice"), (0.53, 0, 0.47)),
     (("pair", "voice"), (0, 0.27, 0.73)), (("stems", "pair", "voice"), (0.45, 0.15, 0.4))],
)  # fmt: skip
def test_voices_come_from_every_kind_there_is(cache, kinds, shares):
    held = AudioCache(cache)
    held.songs = [song for song in held.songs if song.kind in kinds]
    remixer, drawn = Remixer(held, 2048), []
    pick = remixer._pick
    remixer._pick = lambda songs, rng: drawn.append(songs[0].kind) or pick(songs, rng)
    rng = np.random.default_rng(0)
    for _ in range(300):
        before = len(drawn)
        remixer._voice(rng)
        del drawn[before + 1 :]  # further tries are of the same kind
    for kind, share in zip(("stems", "pair", "voice"), shares, strict=True):
        assert drawn.count(kind) / 300 == pytest.approx(share, abs=0.08), kind


def test_dry_voices_are_produced_as_the_shares_say():
    time = np.arange(RATE // 2) / RATE
    dry = (0.1 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)[None].repeat(2, 0)
    dry[:, RATE // 4 :] = 0
    nothing = effects.produce(dry, np.random.default_rng(0), effects.Production(0, 0, 0, 0, 0))
    assert np.array_equal(nothing, dry)
    roomy = effects.produce(dry, np.random.default_rng(0), effects.Production(0, 0, 1, 0, 0))
    assert effects.rms(roomy[:, RATE // 4 :]) > 1e-4, "a room is audible after the voice has ended"
    doubled = effects.produce(dry, np.random.default_rng(0), effects.Production(0, 0, 0, 0, 1))
    assert doubled.shape == dry.shape and np.array_equal(doubled[:, :300], dry[:, :300])
    assert effects.rms(doubled - dry) > 0.1 * effects.rms(dry)


def test_open_only_draws_from_nothing_else(cache, tmp_path):
    songs = json.loads((cache / "index.json").read_text())
    for song in songs["songs"]:
        if song["kind"] != "pair":
            song["licence"] = "CC BY-NC 4.0"
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "index.json").write_text(json.dumps(songs))
    (folder / "audio.i16").symlink_to(cache / "audio.i16")
    remixer = Remixer(AudioCache(folder), 4096, recipe=Recipe(open_only=True))
    assert not remixer.clips and not remixer.voices and not remixer.music
    assert [song.licence for song in remixer.pairs] == ["CC0 1.0"]
    assert data_of(drawn_from(remixer.cache, Recipe(open_only=True))) == (
        "everything-is-free: 0.1 min, CC0 1.0",
    )
    assert len(data_of(drawn_from(remixer.cache, Recipe()))) > 1


def test_all_clips_takes_validation_clips_and_nothing_else_of_it(cache):
    held = AudioCache(cache)
    usual, all_clips = (drawn_from(held, Recipe(all_clips=more)) for more in (False, True))
    added = [song for song in all_clips if song not in usual]
    assert added == held.select("valid", "stems") and added
    assert drawn_from(held, Recipe(all_clips=True), "valid") == held.select("valid")


def test_the_active_level_of_less_than_a_window_is_its_level():
    wave = np.full((2, 100), 0.5, np.float32)
    assert effects.active_rms(wave) == pytest.approx(0.5)
    assert effects.active_rms(wave[:, :0]) == effects.active_rms(wave * 0) == 0
