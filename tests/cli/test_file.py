"""`rtsep file`: stems that add up to the input, as long as it, whatever its format, rate and channels."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from rtsep.files.audiofile import AudioReader
from rtsep.files.demo import demo_song
from tests.cli.program import Outcome, rtsep, separate_here
from tests.models import make_model

SUM = 1e-6
SECONDS = 0.7


class Case(NamedTuple):
    """One input: file name, rate, channels."""

    name: str
    rate: int
    channels: int


CASES = [
    Case("mono.wav", 44100, 1),
    Case("stereo.wav", 44100, 2),
    Case("five.wav", 44100, 5),
    Case("48k.flac", 48000, 2),
    Case("96k.flac", 96000, 2),
    Case("22k.wav", 22050, 2),
    Case("32k.wav", 32000, 2),
    Case("vorbis.ogg", 44100, 2),
    Case("opus.opus", 48000, 2),
    Case("mpeg.mp3", 44100, 2),
    Case("aac.m4a", 44100, 2),
    Case("tiny.wav", 44100, 2),
    Case("silence.wav", 44100, 2),
]
FORMATS = {".ogg": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS"), ".mp3": ("MP3", "MPEG_LAYER_III")}
NO_FFMPEG = shutil.which("ffmpeg") is None


def song(frames: int, channels: int) -> np.ndarray:
    """Return some of the demo song [frames, channels], channels beyond two being mixtures; peak 0.5."""
    sound, _ = soundfile.read(demo_song(), start=12 * 48000, frames=frames, dtype="float32", always_2d=True)
    mixture = np.random.default_rng(3).uniform(-1, 1, (2, channels)).astype(np.float32)
    sound = sound if channels == 2 else sound @ mixture
    return sound / (2 * np.abs(sound).max())


def write_input(path: Path, case: Case) -> None:
    frames = 10 if case.name.startswith("tiny") else round(SECONDS * case.rate)
    sound = song(frames, case.channels)
    if case.name.startswith("silence"):
        sound[:] = 0
    if path.suffix == ".m4a":
        wav = path.with_suffix(".source.wav")
        soundfile.write(wav, sound, case.rate, subtype="FLOAT")
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", wav, "-c:a", "aac", path], check=True)
    elif path.suffix in FORMATS:
        container, subtype = FORMATS[path.suffix]
        soundfile.write(path, sound, case.rate, format=container, subtype=subtype)
    else:
        soundfile.write(path, sound, case.rate, subtype="FLOAT" if path.suffix == ".wav" else "PCM_24")


def decoded(path: Path) -> np.ndarray:
    """Return what `path` sounds like, [frames, channels]."""
    if path.suffix not in (".m4a", ".opus") or NO_FFMPEG:
        return soundfile.read(path, dtype="float32", always_2d=True)[0]
    run = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-"], capture_output=True, check=True
    )
    with AudioReader(path) as reader:
        return np.frombuffer(run.stdout, np.float32).reshape(-1, reader.channels)


class Batch(NamedTuple):
    """A run over all cases."""

    folder: Path
    outcome: Outcome

    def input(self, case: Case) -> Path:
        return self.folder / case.name

    def line(self, case: Case) -> dict:
        return next(line for line in self.outcome.json if line["input"] == str(self.input(case)))

    def stems(self, case: Case) -> list[np.ndarray]:
        paths = self.line(case)["stems"]
        return [
            soundfile.read(paths[name], dtype="float64", always_2d=True)[0]
            for name in ("vocals", "instrumental")
        ]


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> Batch:
    folder = tmp_path_factory.mktemp("songs")
    inputs = []
    for case in CASES:
        if case.name.endswith(".m4a") and NO_FFMPEG:
            continue
        write_input(folder / case.name, case)
        inputs.append(folder / case.name)
    outcome = rtsep("file", *inputs, "-o", folder / "out", "--subtype", "FLOAT", "--json")
    return Batch(folder, outcome)


def test_all_inputs_are_done_without_a_word_on_standard_error(batch):
    assert batch.outcome.code == 0
    assert batch.outcome.said == []
    assert len(batch.outcome.json) == len(CASES) - NO_FFMPEG


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request) -> Case:
    if request.param.name.endswith(".m4a") and NO_FFMPEG:
        pytest.skip("no ffmpeg here: formats beyond libsndfile's are not read")
    return request.param


def test_the_stems_add_up_to_the_input_and_are_as_long(batch, case):
    mix = decoded(batch.input(case))
    vocals, instrumental = batch.stems(case)
    assert vocals.shape == instrumental.shape == mix.shape
    np.testing.assert_allclose(vocals + instrumental, mix, rtol=0, atol=SUM)


def test_the_json_line_says_what_was_done(batch, case):
    line = batch.line(case)
    mix = decoded(batch.input(case))
    assert line["rate"] == case.rate
    assert line["channels"] == case.channels == mix.shape[1]
    assert line["seconds"] == pytest.approx(len(mix) / case.rate, abs=1e-5)
    assert line["model"] == "live"
    assert line["latency_samples"] >= 512 * case.rate // 48000
    assert line["realtime_factor"] > 0
    assert line["clipped_samples"] == 0
    folder = batch.folder / "out" / batch.input(case).stem
    assert line["stems"] == {name: str(folder / f"{name}.wav") for name in ("vocals", "instrumental")}
    for stem in line["stems"].values():
        info = soundfile.info(stem)
        assert (info.samplerate, info.channels, info.subtype) == (case.rate, case.channels, "FLOAT")


def test_silence_stays_silence(batch):
    for stem in batch.stems(next(case for case in CASES if case.name.startswith("silence"))):
        assert not stem.any()


def test_both_stems_of_music_are_audible(batch):
    for name in ("stereo.wav", "mono.wav", "48k.flac", "opus.opus"):
        for stem in batch.stems(next(case for case in CASES if case.name == name)):
            assert np.sqrt(np.mean(stem**2)) > 1e-4  # how much voice is in tones, is the model's affair


def test_the_result_does_not_depend_on_the_block(tmp_path):
    path = tmp_path / "song.wav"
    soundfile.write(path, song(30_000, 2), 44100, subtype="FLOAT")
    results = []
    for block in (17, 8192):
        out = tmp_path / str(block)
        assert separate_here(path, "-o", out, "--block", block, "--subtype", "FLOAT").code == 0
        results.append([(out / "song" / f"{stem}.wav").read_bytes() for stem in ("vocals", "instrumental")])
    assert results[0] == results[1]


def test_24_bits_are_the_default_and_clipping_is_told(tmp_path):
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.clip(4 * song(30_000, 2), -1.5, 1.5), 44100, subtype="FLOAT")
    model = make_model(tmp_path / "ones.pt", "ones")
    outcome = separate_here(path, "-o", tmp_path / "out", "--model", model, "--json")
    (line,) = outcome.json
    assert line["clipped_samples"] > 0
    (said,) = outcome.said
    assert f"{line['clipped_samples']} samples" in said
    assert "--subtype FLOAT" in said
    assert soundfile.info(line["stems"]["vocals"]).subtype == "PCM_24"


def test_24_bit_stems_of_a_sound_in_range_add_up_too(tmp_path):
    path = tmp_path / "song.flac"
    soundfile.write(path, song(30_000, 2), 44100, subtype="PCM_24")
    (line,) = separate_here(path, "-o", tmp_path / "out", "--json").json
    stems = [soundfile.read(stem, dtype="float64")[0] for stem in line["stems"].values()]
    np.testing.assert_allclose(sum(stems), soundfile.read(path, dtype="float64")[0], rtol=0, atol=SUM)


def test_controls_are_obeyed(tmp_path):
    path = tmp_path / "song.wav"
    sound = song(20_000, 2)
    soundfile.write(path, sound, 44100, subtype="FLOAT")
    options = ("--vocals-gain", "-inf", "--instrumental-gain", "-6.0206", "--subtype", "FLOAT", "--json")
    model = make_model(tmp_path / "half.pt", "half")
    (line,) = separate_here(path, "-o", tmp_path / "out", "--model", model, *options).json
    vocals, instrumental = (soundfile.read(stem, dtype="float32")[0] for stem in line["stems"].values())
    assert not vocals.any()
    np.testing.assert_allclose(instrumental, 0.25 * sound, rtol=0, atol=SUM)


def test_a_person_reads_a_line_not_json(tmp_path):
    path = tmp_path / "song.wav"
    soundfile.write(path, song(20_000, 2), 44100)
    outcome = rtsep("file", path, "-o", tmp_path / "out")
    (line,) = outcome.out
    assert line.startswith("song.wav: ")
    assert str(tmp_path / "out" / "song" / "vocals.wav") in line
