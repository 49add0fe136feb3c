import re

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError, UsageError
from tests.models import make_model, make_spec
from tests.train.recordings import music, voice, write_track
from train.data.cache import RATE
from train.pages.listen import find_songs, listen, loudest
from train.pages.page import Excerpt, Lane, page
from train.pages.pictures import HEIGHT, WIDTH, frequencies, ideal_picture, mask_picture, sound_picture


@pytest.fixture
def recordings(tmp_path):
    """Stems, a recording without references, and a broken file."""
    folder = tmp_path / "My <own> songs"
    write_track(folder / "Rock & Roll", 1.2)
    soundfile.write(folder / "concert.wav", voice(1.2) + music(1.2), RATE)
    (folder / "broken.wav").write_bytes(b"no audio")
    return folder


def test_the_page_contains_all_sounds_and_nothing_external(recordings, tmp_path, capsys):
    model = make_model(tmp_path / "half.pt", "half", params=1234, licence="CC0 <only>", data=("noise: CC0",))
    target = listen(model, recordings, tmp_path / "out")
    assert target == tmp_path / "out/index.html" and "2 tracks, 1 skipped" in capsys.readouterr().out
    text = target.read_text()

    for said in ("Rock &amp; Roll", "concert", "test-half", "11.6 ms (512 samples)", "1,234", "noise: CC0"):
        assert said in text
    assert "CC0 &lt;only&gt;" in text and "broken.wav" in text and "Skipped (1)" in text
    assert not re.search(r"https?:|//|@import|<link", text.replace("// ", "").replace("  //", ""))
    assert str(tmp_path) not in text

    sections = text.split("<section")[1:]
    with_stems = next(part for part in sections if "Rock" in part)
    without = next(part for part in sections if "concert" in part)
    for title in ("Mixture", "Vocals", "Instrumental", "Mask"):
        assert title in with_stems and title in without
    assert "Vocals as recorded" in with_stems and "Vocals as recorded" not in without
    assert "SI-SDR" in with_stems and "SI-SDR" not in without.split("<footer")[0]
    assert with_stems.count("<audio") == 4 and without.split("<footer")[0].count("<audio") == 3

    for link in re.findall(r"src='([^']+)'", text):
        path = tmp_path / "out" / link
        assert path.is_file() and path.stat().st_size > 500
    sounds = {path.name: soundfile.read(path)[0] for path in (tmp_path / "out/sounds").iterdir()}
    mixture, vocals = (
        next(sound for name, sound in sounds.items() if name.startswith("02") and kind in name)
        for kind in ("mixture", "vocals")
    )
    assert np.std(vocals) == pytest.approx(np.std(mixture) / 2, rel=0.05)  # coded, yet half as loud


def test_the_part_with_the_most_voice_is_taken(tmp_path):
    stems = write_track(tmp_path / "Long", 1)
    silence = np.zeros((6 * RATE, 2))
    soundfile.write(stems / "vocals.wav", np.concatenate([silence, voice(2), silence[:RATE]]), RATE)
    soundfile.write(stems / "other.wav", music(9), RATE)
    text = listen(make_model(tmp_path / "ones.pt"), stems, tmp_path / "out", seconds=2).read_text()
    assert "2 s of 0:09, from 0:06 on" in text and "data-seconds='2.0000'" in text


def test_loudest_finds_a_burst():
    wave = np.full((2, 5 * RATE), 0.01, np.float32)
    wave[:, 3 * RATE : 4 * RATE] = 0.5
    assert loudest(wave, RATE) == 3 * RATE
    assert loudest(wave, wave.shape[1]) == 0


def test_pictures_show_a_tone_where_it_is():
    time = np.arange(2 * RATE) / RATE
    tone_hz = 186 * RATE / 4096  # of a bin, between two rows
    wave = np.tile(0.5 * np.sin(2 * np.pi * tone_hz * time) * (time < 1), (2, 1)).astype(np.float32)
    picture = sound_picture(wave)
    assert picture.shape == (HEIGHT, WIDTH)
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    assert frequencies()[row] == pytest.approx(tone_hz, rel=0.03) and column < WIDTH // 2 + 20
    assert picture[row, 100:400].mean() == pytest.approx(-6, abs=0.5)  # half of full scale
    assert picture[row, 600:].max() < -60


@pytest.mark.parametrize("lookahead", [0, 4])
def test_the_picture_of_the_mask_is_in_time(lookahead):
    spec = make_spec(lookahead=lookahead, rates=(8192,), n_fft=1024, synthesis=1024, hop=256)
    masks = np.zeros((200 + lookahead, spec.bins), np.float16)
    masks[100 + lookahead] = 1  # the mask of column 100, whose frame is centred at (101 - 2) hops
    picture = mask_picture(masks, spec, start_s=1.0, seconds=4.0)
    lane = picture[-1]
    centre = (np.flatnonzero(lane > 0.9 * lane.max()).mean() + 0.5) / WIDTH * 4.0 + 1.0
    assert centre == pytest.approx(99 * 256 / 8192, abs=256 / 8192)
    assert np.isnan(picture[frequencies() > 4096]).all() and not np.isnan(picture[-1]).any()


def test_what_cannot_be_listened_to_is_said(recordings, tmp_path):
    model = make_model(tmp_path / "ones.pt")
    with pytest.raises(InputFileError, match="none of 1 tracks could be read"):
        listen(model, recordings / "broken.wav", tmp_path / "out")
    with pytest.raises(InputFileError, match="no such file"):
        listen(model, tmp_path / "nothing.wav", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFileError, match="no stems and no recordings"):
        find_songs([tmp_path / "empty"])
    with pytest.raises(UsageError, match="must be at least 1"):
        listen(model, recordings, tmp_path / "out", seconds=0)


def test_a_page_without_scores_or_data_says_so():
    card = {
        "name": "m", "system": "s", "description": "", "rates": [8192], "latency_ms": 1.0,
        "latency_samples": 8, "params": 1, "macs_per_hop": 0, "sha256": "0" * 64, "licence": "", "data": [],
    }  # fmt: skip
    text = page(card, [Excerpt("a", 0, 3, 3, (Lane("Mixture", "p.png", "s.mp3"),))], [])
    assert text.count("not stated") == 2 and "<table>" not in text and "Skipped" not in text
    assert "3.0 s, the whole track" in text and "8.192 kHz" in text


@pytest.mark.parametrize("frames", [0, 1, 3000, 4091, 4096, 5000])
def test_a_short_sound_has_a_picture(frames):
    wave = np.random.default_rng(1).standard_normal((2, frames)).astype(np.float32)
    for picture in (sound_picture(wave), ideal_picture(wave, wave)):
        assert picture.shape == (HEIGHT, WIDTH)
    if frames == 3000:  # the picture ends with the sound
        assert sound_picture(wave)[:, -1].max() > -30
