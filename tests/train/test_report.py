import argparse
import base64
import re

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError
from train.data.cache import RATE, AudioCache, Song, Stem
from train.data.remix import Remixer
from train.pages import report as reporting
from train.pages.pictures import WIDTH, frequencies, ideal_mask, ideal_picture
from train.pages.report import cut_groups, draw, picture, report, set_rows


def test_page_holds_tables_pictures_and_players(cache, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(reporting, "COUNTED_S", 0.2)
    monkeypatch.setattr(reporting, "SECONDS", 1.0)
    page = report(cache, tmp_path, mixtures=2, counted=4).read_text()
    assert "broken.opus" in page and "1 skipped, 0 padded" in page, "what was skipped is named"
    assert "No singer, artist or package is in both splits" in page
    for source in {song.source for song in AudioCache(cache).songs}:
        assert f"<td>{source}</td>" in page
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 3 and all(base64.b64decode(p).startswith(b"\x89PNG") for p in pictures)
    sounds = re.findall(r'src="data:audio/ogg;base64,([^"]+)"', page)
    assert len(sounds) == 6 and "http" not in page, "nothing comes from elsewhere"
    (tmp_path / "mix.ogg").write_bytes(base64.b64decode(sounds[0]))
    player, rate = soundfile.read(tmp_path / "mix.ogg")
    remixer = Remixer(AudioCache(cache), RATE)
    drawn = draw(remixer, "", 1.0, 1)
    assert len(player) == rate and np.std(player) == pytest.approx(np.std(drawn.mix), rel=0.1)


def test_ideal_mask_and_its_picture():
    time = np.arange(RATE) / RATE
    voice, music = (
        np.sin(2 * np.pi * hz * time).astype(np.float32)[None].repeat(2, 0) for hz in (1000, 4000)
    )
    middle = ideal_picture(voice, music)[:, WIDTH // 2]
    rows = frequencies()
    assert middle[np.abs(rows - 1000).argmin()] > 0.95 and middle[np.abs(rows - 4000).argmin()] < 0.05
    assert np.isnan(ideal_picture(0 * voice, 0 * music)).all()
    assert np.isnan(ideal_mask(np.zeros((2, 2), np.complex64), np.zeros((2, 2), np.complex64))).all()
    pytest.importorskip("matplotlib")
    figure = picture(reporting.Mixture("", voice, voice + music))
    (mixture, target, shown) = (axis.images[0].get_array() for axis in figure.axes[:3])
    assert mixture.max() == pytest.approx(0, abs=3), "0 dB is the loudest of the mixture"
    assert target.max() == pytest.approx(mixture.max(), abs=1)
    assert np.nanmin(shown) >= 0 and np.nanmax(shown) <= 1


def test_level_and_balance_of_a_mixture():
    voice = np.full((2, 100), 0.1, np.float32)
    both = reporting.Mixture("", voice, 3 * voice)
    assert both.level_db == pytest.approx(20 * np.log10(0.3), abs=1e-3)
    assert both.voice_to_music_db == pytest.approx(-6.02, abs=0.01)
    assert np.isnan(reporting.Mixture("", 0 * voice, voice).voice_to_music_db)
    assert np.isnan(reporting.Mixture("", voice, voice).voice_to_music_db)


def test_sets_are_summed_and_cut_groups_named():
    def song(group, split, hours):
        stems = {"vocals": Stem(0, int(hours * 3600 * RATE), 1)}
        return Song("n", "set", split, "voice", "CC0", 0.0, stems, group)

    songs = [song("ann", "train", 1), song("bob", "train", 0.5), song("cyd", "valid", 0.25)]
    assert set_rows(songs)[0] == ("voice", "set", "CC0", "2", "1.50", "1", "0.25")
    assert set_rows(songs)[-1][3:] == ("2", "1.50", "1", "0.25")
    assert cut_groups(songs) == [] and cut_groups([*songs, song("ann", "valid", 1)]) == ["set: ann"]
    assert cut_groups([song("", "train", 1), song("", "valid", 1)]) == [], "unknown is not the same singer"


def test_no_cache_is_said_before_anything_is_drawn(tmp_path):
    parser = argparse.ArgumentParser()
    reporting.add_arguments(parser)
    with pytest.raises(InputFileError, match="train prepare"):
        reporting.run(parser.parse_args(["--cache", str(tmp_path), "--out", str(tmp_path / "out")]))
    assert not (tmp_path / "out").exists()
