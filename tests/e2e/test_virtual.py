"""The virtual device: the main job where there is no sound, recorded and held against `rtsep file`."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
import soxr

from rtsep.files.audiofile import AudioReader
from rtsep.files.demo import demo_song
from tests.cli.program import rtsep
from tests.e2e.exact import ATTEMPTS, noise
from tests.e2e.liveprocess import ROOT, no_jack

STEMS = ("vocals", "instrumental")
SECONDS = 4
HOP = 256
TOLERANCE = 1e-5
KEYS = {
    "hops": int,
    "late_masks": int,
    "underruns": int,
    "overruns": int,
    "latency_samples": int,
    "hop_us": dict,
    "latency_ms": dict,
}


def untouched(frames: int, late_hops: list[int]) -> np.ndarray:
    """Return which input samples [frames] no late hop can have touched.

    The mask of hop n shapes one synthesis window of two hops, which ends with hop n. A late one leaves the
    last mask in its place; after some 60 ms of late ones the dry signal fades in, and out within two hops of
    the first that is in time again.
    """
    keep = np.ones(frames, bool)
    for hop in late_hops:
        keep[max(0, (hop - 2) * HOP) : (hop + 4) * HOP] = False
    return keep


def read(folder, name: str) -> np.ndarray:
    return soundfile.read(folder / f"{name}.wav", dtype="float32", always_2d=True)[0]


@pytest.fixture(scope="module")
def demo_stems(tmp_path_factory):
    """The demo song's stems by `rtsep file`."""
    folder = tmp_path_factory.mktemp("file")
    assert rtsep("file", demo_song(), "-o", folder, "--subtype", "FLOAT").code == 0
    return {name: read(folder / demo_song().stem, name) for name in STEMS}


def test_what_is_recorded_live_is_what_file_gives(start_live, tmp_path, demo_stems):
    with AudioReader(demo_song()) as reader:
        song = reader.read(1 << 30)
    for attempt in range(ATTEMPTS):
        folder = tmp_path / str(attempt)
        live = start_live(
            "--in", "demo", "--out", "both", "--out-device", "virtual",
            "--record", folder, "--subtype", "FLOAT", "--seconds", SECONDS,
        )  # fmt: skip
        final = live.final(120)
        frames = SECONDS * final["rate"]
        keep = untouched(frames, final["late_hops"])
        if keep.mean() > 0.5 and final["overruns"] == 0:
            break
    else:
        raise AssertionError(f"more than half of the masks late in each of {ATTEMPTS} runs")

    for name in STEMS:
        recorded = read(folder, name)
        assert len(recorded) == frames
        difference = np.abs(recorded - demo_stems[name][:frames]).max(axis=1)
        assert difference[keep].max() <= TOLERANCE, f"{name}: {final['late_masks']} late masks"
    np.testing.assert_array_equal(read(folder, "mix"), song[:frames])
    total = read(folder, "vocals") + read(folder, "instrumental")  # whatever was late
    np.testing.assert_allclose(total, song[:frames], rtol=0, atol=1e-6)

    assert [line["state"] for line in live.lines][-1] == "ended"
    assert len(live.lines) >= SECONDS  # one a second
    for line in live.lines:
        for key, kind in KEYS.items():
            assert isinstance(line[key], kind), key
        assert set(line["hop_us"]) >= {"p50", "p99", "max"}
        parts = line["latency_ms"]
        assert parts["total"] == pytest.approx(
            parts["algorithm"] + parts["engine"] + parts["device"], abs=0.01
        )
        assert line["latency_samples"] == pytest.approx(parts["total"] * line["rate"] / 1000, abs=0.5)
    assert final["hops"] >= frames // HOP
    assert final["recordings"] == [{name: str(folder / f"{name}.wav") for name in (*STEMS, "mix")}]
    assert any("latency: algorithm" in line for line in live.said)


def test_a_short_file_ends_by_itself_with_stems_as_long(start_live, tmp_path, half_model):
    path = tmp_path / "short.wav"
    sound = noise(20_001)
    soundfile.write(path, sound, 44100, subtype="FLOAT")
    live = start_live(
        "--in", path, "--out", "both", "--out-device", "virtual", "--model", half_model,
        "--record", tmp_path / "out", "--subtype", "FLOAT",
    )  # fmt: skip
    final = live.final(120)
    assert final["rate"] == 44100
    assert final["underruns"] >= 0
    vocals, instrumental, mix = (read(tmp_path / "out", name) for name in (*STEMS, "mix"))
    assert len(vocals) == len(instrumental) == len(mix) == len(sound)
    np.testing.assert_array_equal(mix, sound)
    np.testing.assert_allclose(vocals + instrumental, sound, rtol=0, atol=1e-6)
    keep = untouched(len(sound), final["late_hops"])
    assert np.abs(vocals - 0.5 * sound)[keep].max(initial=0) < 1e-5


def test_a_file_of_another_rate_is_played_at_the_one_asked_for(start_live, tmp_path, half_model):
    path = tmp_path / "low.wav"
    sound = np.repeat(np.cumsum(noise(22050, 1) * 0.01, axis=0), 2, axis=1).astype(np.float32)
    soundfile.write(path, sound, 22050, subtype="FLOAT")
    live = start_live(
        "--in", path, "--out", "both", "--out-device", "virtual", "--rate", 44100, "--model", half_model,
        "--record", tmp_path / "out", "--subtype", "FLOAT",
    )  # fmt: skip
    final = live.final(120)
    assert final["rate"] == 44100
    mix = read(tmp_path / "out", "mix")
    expected = soxr.resample(sound, 22050, 44100, quality="VHQ")
    assert len(mix) == len(expected) == 44100
    np.testing.assert_allclose(mix, expected, rtol=0, atol=1e-6)
    total = read(tmp_path / "out", "vocals") + read(tmp_path / "out", "instrumental")
    np.testing.assert_allclose(total, mix, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("block", "rate"),
    [(500, 32000), *(pytest.param(block, 44100, marks=pytest.mark.long) for block in (32, 4096))],
)
def test_any_block_and_rate_give_the_same_kind_of_result(start_live, tmp_path, half_model, block, rate):
    path = tmp_path / "song.wav"
    sound = noise(rate)
    soundfile.write(path, sound, rate, subtype="FLOAT")
    live = start_live(
        "--in", path, "--out", "both", "--out-device", "virtual", "--block", block, "--model", half_model,
        "--record", tmp_path / "out", "--subtype", "FLOAT",
    )  # fmt: skip
    final = live.final(120)
    assert (final["block"], final["rate"]) == (block, rate)
    mix = read(tmp_path / "out", "mix")
    np.testing.assert_array_equal(mix, sound)
    total = read(tmp_path / "out", "vocals") + read(tmp_path / "out", "instrumental")
    np.testing.assert_allclose(total, sound, rtol=0, atol=1e-6)


def test_it_ends_when_the_reader_of_its_lines_has_left(half_model, tmp_path):
    path, seconds = tmp_path / "long.wav", 120
    soundfile.write(path, noise(seconds * 44100), 44100)
    run = subprocess.Popen(
        [sys.executable, "-m", "rtsep", "live", "--in", str(path), "--out-device", "virtual", "--headless",
         "--json", "--model", str(half_model)],
        cwd=ROOT, env=no_jack(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert run.stdout and run.stderr
        for line in itertools.islice(run.stdout, 1):
            assert json.loads(line)["state"] == "playing"
        run.stdout.close()
        left = time.monotonic()
        said = run.stderr.read()
        assert run.wait(60) in (0, 1)
        assert "Traceback" not in said
        assert time.monotonic() - left < seconds / 2, "it has played the song to its end, for nobody"
    finally:
        if run.poll() is None:
            run.kill()
            run.wait()


def test_without_any_sound_device_it_says_so_and_plays_on(start_live, tmp_path, half_model):
    if rtsep("devices", "--json").json[0]["devices"]:
        pytest.skip("this machine has a sound device, and would play")
    live = start_live("--in", "demo", "--out", "vocals", "--seconds", 1, "--model", half_model)
    live.final(120)
    assert len([line for line in live.said if "virtual device" in line and "no audio device" in line]) == 1
