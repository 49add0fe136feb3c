import json

import numpy as np
import pytest
import torch

from rtsep.errors import InputFileError, UsageError
from rtsep.model.loader import load_model
from tests.train.conftest import SYSTEM
from train import __main__ as cli
from train.data.cache import AudioCache
from train.learn import band_calibration
from train.learn.band_calibration import BandCalibration, calibrate_net
from train.learn.calibrate import calibrate
from train.learn.export import export
from train.learn.fit import fit
from train.learn.nets.unet import UNet
from train.learn.validation import validate
from train.score.evaluate import separate as played


@pytest.fixture
def held_back(cache, tmp_path):
    """The cache, and the backing of a song of it as music held back for validation."""
    songs = json.loads((cache / "index.json").read_text())
    (clip, *_) = (song for song in songs["songs"] if song["kind"] == "stems")
    backing = {"kind": "music", "split": "valid", "stems": {"music": clip["stems"]["other"]}}
    songs["songs"].append(clip | {"name": "backing", **backing})
    folder = tmp_path / "held-back"
    folder.mkdir()
    (folder / "index.json").write_text(json.dumps(songs))
    (folder / "audio.i16").symlink_to(cache / "audio.i16")
    return AudioCache(folder)


@pytest.mark.long
def test_the_plain_candidate_scores_what_validation_does(config, held_back):
    state = fit(config)
    (plain, shy) = calibrate(config.run, held_back, [1.0], [0.0, -3.0])
    scores = validate(state.average_net(), SYSTEM, held_back).figures
    assert plain.voice == pytest.approx(scores["voice_mean"], abs=1e-3)
    assert plain.music == pytest.approx(scores["music_mean"], abs=1e-3)
    assert plain.leak == pytest.approx(scores["leak_db"], abs=1e-3), "of one piece median and mean are one"
    assert shy.leak < plain.leak - 10, "masks near zero let next to nothing through"


def test_an_exported_model_plays_the_calibrated_masks(config, tmp_path):
    fit(config)
    export(config.run, tmp_path / "plain.pt")
    export(config.run, tmp_path / "sure.pt", mask=(1.7, -0.4))
    plain, sure = (load_model(tmp_path / f"{name}.pt") for name in ("plain", "sure"))
    assert sure.spec.metrics["training"]["mask"] == {"slope": 1.7, "offset": -0.4}
    rng = np.random.default_rng(3)
    for _ in range(4):
        column = rng.standard_normal(plain.column.shape).astype(np.float32)
        for model in (plain, sure):
            model.column[:] = column
            model.step()
        wanted = torch.sigmoid(1.7 * torch.logit(torch.from_numpy(plain.mask)) - 0.4)
        np.testing.assert_allclose(sure.mask, wanted, atol=2e-6)
    mix = rng.standard_normal((2, 6000)).astype(np.float32) * 0.1
    assert not np.allclose(played(plain, mix)[0], played(sure, mix)[0])


def test_a_system_without_logits_says_so():
    with pytest.raises(UsageError, match="unet"):
        UNet().calibrate(None, 0.9, 0.0)
    with pytest.raises(UsageError, match="unet"):
        calibrate_net(UNet(), None, BANDS)


BANDS = BandCalibration((1.5, 0.5), tuple(tuple(0.1 * (n + of) for n in range(13)) for of in (0, 3)))


def test_an_exported_model_plays_masks_calibrated_by_bands(config, tmp_path):
    fit(config)
    export(config.run, tmp_path / "plain.pt")
    export(config.run, tmp_path / "banded.pt", bands=BANDS)
    plain, banded = (load_model(tmp_path / f"{name}.pt") for name in ("plain", "banded"))
    assert banded.spec.metrics["training"]["mask"]["slopes"] == [1.5, 0.5]
    rng = np.random.default_rng(3)
    hz = SYSTEM.mask_hz[torch.tensor(SYSTEM.place)]
    for _ in range(4):
        column = rng.standard_normal(plain.column.shape).astype(np.float32)
        for model in (plain, banded):
            model.column[:] = column
            model.step()
        logits = torch.logit(torch.from_numpy(plain.mask))
        wanted = torch.sigmoid(torch.tensor([[1.5], [0.5]]) * logits + BANDS.offsets_at(hz))
        np.testing.assert_allclose(banded.mask, wanted, atol=2e-6)


def test_each_band_has_its_offset():
    at = BANDS.offsets_at(torch.tensor([0.0, 89.9, 90.0, 1000.0, 20000.0]))
    np.testing.assert_allclose(at[0], [0, 0, 0.1, 0.6, 1.2], atol=1e-6)
    np.testing.assert_allclose(at[1], at[0] + 0.3, atol=1e-6)


def two_of_each(cache, folder):
    """Return a cache with two pieces of music that are held back, and its two clips for validation."""
    songs = json.loads((cache / "index.json").read_text())
    clips = [song for song in songs["songs"] if song["kind"] == "stems"][:2]
    for number, clip in enumerate(clips):
        backing = {"kind": "music", "split": "valid", "stems": {"music": clip["stems"]["other"]}}
        songs["songs"].append(clip | {"name": f"backing {number}", **backing})
        songs["songs"].append(clip | {"name": f"song {number}", "split": "valid"})
    folder.mkdir()
    (folder / "index.json").write_text(json.dumps(songs))
    (folder / "audio.i16").symlink_to(cache / "audio.i16")
    return folder


def test_bands_are_fitted_and_exported(config, cache, tmp_path, capsys, monkeypatch):
    """An untrained net finds too much voice in all bands of music: the fit must lower its masks."""
    monkeypatch.setattr(band_calibration, "STEPS", 8)
    monkeypatch.setattr(band_calibration, "SEGMENT", 4)
    fit(config)
    folder, file = two_of_each(cache, tmp_path / "cache"), tmp_path / "bands.json"
    command = ["calibrate", "--run", str(config.run), "--cache", str(folder), "--bands", str(file)]
    assert cli.main([*command, "--leak-weight", "5"]) == 0
    assert "| voice |" in capsys.readouterr().out
    found = BandCalibration.read(file)
    assert all(offset < 0 for row in found.offsets for offset in row[3:9])
    assert cli.main(["export", "--run", str(config.run), "--out", str(tmp_path / "m.pt"),
                     "--mask-bands", str(file)]) == 0  # fmt: skip
    file.write_text(file.read_text().replace("[", "[1,", 1))
    assert cli.main(["export", "--run", str(config.run), "--out", str(tmp_path / "n.pt"),
                     "--mask-bands", str(file)]) == InputFileError.exit_code  # fmt: skip
    assert "do not belong together" in capsys.readouterr().err


def test_the_command_tells_what_to_export_with(config, cache, capsys):
    fit(config)
    command = ["calibrate", "--run", str(config.run), "--cache", str(cache)]
    assert cli.main([*command, "--slopes", "0.8,1", "--offsets", "0"]) == 0
    told = capsys.readouterr().out
    assert "| 0.8 | 0 |" in told and "--mask-slope" in told
    assert cli.main([*command, "--slopes", "0.8;1"]) == UsageError.exit_code
