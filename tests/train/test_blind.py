"""The page of a blind comparison: no name before the end, an order of its own for each excerpt, one level."""

import argparse
import base64
import json
import re
import shutil

import numpy as np
import pytest
import soundfile

from rtsep.errors import InputFileError, UsageError
from tests.models import make_model
from tests.train.recordings import music, voice, write_track
from train.data.cache import RATE
from train.pages.blind import add_arguments, blind, run


@pytest.fixture
def models(tmp_path):
    """Three models: each takes another share of the mixture for the voice."""
    names = {"ones": "secret-new", "half": "secret-old", "zeros": "secret-none"}
    return [make_model(tmp_path / f"{name}.pt", kind) for kind, name in names.items()]


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "songs"
    for number in range(4):
        write_track(folder / f"Song <{number}>", 1.2)
    soundfile.write(folder / "concert.wav", voice(1.2) + music(1.2), RATE)
    (folder / "broken.wav").write_bytes(b"no audio")
    return folder


def key_of(text):
    return json.loads(base64.b64decode(re.search(r'hidden = "([^"]+)"', text)[1]))


def test_the_key_tells_which_sound_is_whose_and_nothing_else_does(models, recordings, tmp_path, capsys):
    target = blind(models, recordings, tmp_path / "out", seed=3)
    text = target.read_text()
    assert "5 excerpts, 1 skipped" in capsys.readouterr().out
    assert "secret" not in text and not re.search(r"https?:|//|@import|<link", text)
    assert not any("secret" in path.name for path in (tmp_path / "out/sounds").iterdir())
    key = key_of(text)
    assert all(sorted(names) == ["secret-new", "secret-none", "secret-old"] for names in key)
    assert len({tuple(names) for names in key}) > 1, "each excerpt has an order of its own"
    sections = text.split("<section data-number")[1:]
    assert len(sections) == 5 and "Song &lt;0&gt;" in text
    for section, names in zip(sections, key, strict=True):
        assert section.count("type='range'") == 3
        sounds = re.findall(r"src='([^']+)'", section)
        assert len(sounds) == (5 if "Song" in section else 4)
        mixture, *rest = (np.std(soundfile.read(tmp_path / "out" / sound)[0]) for sound in sounds)
        shares = {"secret-new": 1, "secret-old": 0.5, "secret-none": 0}
        expected = [mixture * shares[name] for name in names]
        assert rest[-3:] == pytest.approx(expected, rel=0.05, abs=1e-3)


def test_a_seed_gives_the_same_orders_and_another_one_others(models, recordings, tmp_path):
    keys = [
        key_of(blind(models, recordings, tmp_path / str(i), seed=s).read_text())
        for i, s in enumerate((1, 1, 2))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_what_is_no_comparison_is_refused(models, recordings, tmp_path):
    with pytest.raises(UsageError, match="2 to 8"):
        blind(models[:1], recordings, tmp_path / "out")
    with pytest.raises(UsageError, match="same file name"):
        blind([models[0], models[0]], recordings, tmp_path / "out")
    with pytest.raises(UsageError, match="must be at least 1"):
        blind(models, recordings, tmp_path / "out", seconds=0)
    with pytest.raises(InputFileError, match="none of 1 tracks"):
        blind(models, recordings / "broken.wav", tmp_path / "out")


def test_the_command_line_gives_what_the_function_takes(models, recordings, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = ["--model", *map(str, models), "--data", str(recordings), "--out", str(tmp_path / "out")]
    run(parser.parse_args([*words, "--stem", "accompaniment", "--max-tracks", "1", "--seconds", "1"]))
    text = (tmp_path / "out/index.html").read_text()
    assert "Blind comparison: accompaniment" in text and len(key_of(text)) == 1


@pytest.mark.long
def test_a_browser_shows_names_and_mean_ratings_only_when_asked(models, recordings, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    target = blind(models, recordings, tmp_path / "out", seed=3)
    first = key_of(target.read_text())[0]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(target.as_uri())
        letters = page.locator("section[data-number='0'] button[data-rated]")
        assert [text.strip() for text in letters.all_inner_texts()] == ["A", "B", "C"]
        for slider, rating in zip(
            page.locator("section[data-number='0'] input").all(), (90, 20, 50), strict=True
        ):
            slider.fill(str(rating))
        letters.nth(1).click()
        assert letters.nth(1).get_attribute("aria-pressed") == "true"
        page.get_by_role("button", name="Show the names").click()
        assert [text.strip() for text in letters.all_inner_texts()] == first
        rows = page.locator("#result tr").all_inner_texts()[1:]
        assert [row.split()[0] for row in rows] == [first[0], first[2], first[1]]
        assert rows[0].split()[1:] == ["90.0", "-", "1"]
        browser.close()
