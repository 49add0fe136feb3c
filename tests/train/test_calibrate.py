import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from rtsep.errors import InputFileError, UsageError
from rtsep.model.loader import load_model
from tests.train.conftest import SYSTEM
from train import __main__ as cli
from train.data.cache import RATE, AudioCache
from train.data.excerpts import scored_songs, voiceless_middles
from train.learn import calibrate as calibration
from train.learn import checkpoint as checkpoints
from train.learn import validation
from train.learn.calibrate import calibrate
from train.learn.checkpoint import Checkpoint
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


def test_songs_of_one_title_are_scored_each(held_back):
    net = SYSTEM.net()
    (song, *_) = scored_songs(held_back)
    held_back.songs = [song, replace(song, source="another set")]
    assert list(validate(net.eval(), SYSTEM, held_back).songs) == [song.name, f"{song.name} (another set)"]


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


def test_silent_music_counts_in_no_mean(config, held_back, monkeypatch):
    net = SYSTEM.net()
    weights = net.state_dict()
    checkpoints.save(Checkpoint(SYSTEM, weights, weights), config.run)
    (piece,) = voiceless_middles(held_back)

    def leaks(*pieces):
        for module in (validation, calibration):
            monkeypatch.setattr(module, "scored_songs", lambda _: [])
            monkeypatch.setattr(module, "voiceless_middles", lambda _: iter(pieces))
        (plain,) = calibrate(config.run, held_back, [1.0], [0.0])
        return validate(net.eval(), SYSTEM, held_back).figures["leak_db"], plain.leak

    piece, silence = piece[:, : RATE // 4], np.zeros((2, RATE // 4), np.float32)
    assert leaks(piece, silence, silence) == leaks(piece) and leaks(piece)[0] < -1
    assert np.isnan(leaks(silence)).all()


def test_a_system_without_logits_says_so():
    with pytest.raises(UsageError, match="unet"):
        UNet().calibrate(None, 0.9, 0.0)


def test_the_command_tells_what_to_export_with(config, cache, capsys):
    fit(config)
    command = ["calibrate", "--run", str(config.run), "--cache", str(cache)]
    assert cli.main([*command, "--slopes", "0.8,1", "--offsets", "0"]) == 0
    told = capsys.readouterr().out
    assert "| 0.8 | 0 |" in told and "--mask-slope" in told
    for wrong in ("0.8;1", "nan", "inf,1"):
        assert cli.main([*command, "--slopes", wrong]) == UsageError.exit_code


def test_nothing_is_recommended_without_songs(monkeypatch, capsys):
    nan = float("nan")
    found = [calibration.Candidate(slope, 0.0, nan, nan, nan) for slope in (0.7, 1.0)]
    monkeypatch.setattr(calibration, "AudioCache", lambda folder: None)
    monkeypatch.setattr(calibration, "calibrate", lambda *_: found)
    command = ["calibrate", "--run", "r", "--cache", "c"]
    assert cli.main(command) == InputFileError.exit_code
    said = capsys.readouterr()
    assert "--mask-slope" not in said.out and "no validation song" in said.err
    found.append(calibration.Candidate(0.9, 0.0, 5.0, 8.0, nan))
    assert cli.main(command) == 0 and "--mask-slope 0.9" in capsys.readouterr().out


def test_a_system_without_logits_is_refused_before_the_songs(tmp_path, monkeypatch):
    system = UNet()
    weights = system.net().state_dict()
    checkpoints.save(Checkpoint(system, weights, weights), tmp_path)
    monkeypatch.setattr(calibration, "scored_songs", lambda _: pytest.fail("songs were scored"))
    with pytest.raises(UsageError, match="unet"):
        calibrate(tmp_path, None, [1.0], [0.0])
