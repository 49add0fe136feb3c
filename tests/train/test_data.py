import numpy as np
import pytest

from rtsep.errors import InputFileError
from train import effects
from train.cache import RATE, AudioCache
from train.prepare import HELD_OUT, musdb_validation
from train.remix import Recipe, Remixer


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


def test_validation_split_is_fixed_and_large_enough():
    names = [f"Band {i} - Song" for i in range(40)] + ["Leaf - Summerghost", "ANiMAL - Clinic A"]
    chosen = musdb_validation(names)
    assert len(chosen) == 20 and chosen == musdb_validation(names[::-1])
    assert "ANiMAL - Clinic A" not in chosen
    pytest.importorskip("musdb")
    assert "Leaf - Summerghost" in chosen, "MUSDB18's own list comes first"


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
