"""`import rtsep`: what it brings, and its Separator on blocks and whole arrays."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import soundfile

import rtsep
from rtsep.controls import Controls
from rtsep.errors import ModelError, RtsepError, UsageError
from rtsep.files.demo import demo_song
from rtsep.offline.separator import Separator
from tests.cli.program import ROOT
from tests.cli.program import rtsep as program
from tests.dsp.twins import noise
from tests.models import PlainModel, make_model

PUBLIC = ["Controls", "RtsepError", "Separator", "Session", "Stems", "__version__", "attach", "serve"]
HEAVY = ("torch", "numba", "scipy", "sounddevice", "soundfile", "rtmidi", "numpy")

# In a process of its own: here, everything is loaded already.
LOOK = f"""
import sys
import rtsep
loaded = [name for name in {HEAVY} if name in sys.modules]
assert loaded == [], f"import rtsep brings {{loaded}}"
assert rtsep.__version__ and dir(rtsep) == {PUBLIC}
rtsep.Controls(threshold=0.4)
rtsep.Session("demo", out="vocals")
assert "torch" not in sys.modules, "a live front does without torch"
import os
assert "NUMBA_CACHE_DIR" in os.environ
print("ok")
"""


def test_importing_it_brings_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", LOOK], capture_output=True, text=True, cwd=ROOT, env=None, timeout=240
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_what_is_public_is_this_and_no_more():
    assert rtsep.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(rtsep, name) is not None
    with pytest.raises(AttributeError, match="module 'rtsep' has no attribute 'Seperator'"):
        rtsep.Seperator  # noqa: B018
    assert rtsep.Separator is Separator
    assert issubclass(UsageError, rtsep.RtsepError)


# --- whole arrays -------------------------------------------------------------------------------------------


def test_a_whole_array_is_what_file_gives_to_the_last_bit(tmp_path):
    song, rate = soundfile.read(demo_song(), frames=2 * 48000, dtype="float32", always_2d=True)
    soundfile.write(tmp_path / "song.wav", song, rate, subtype="FLOAT")
    options = ("--threshold", "0.2", "--smoothing", "10")
    assert program("file", tmp_path / "song.wav", "-o", tmp_path, "--subtype", "FLOAT", *options).code == 0

    controls = Controls(threshold=0.2, smoothing=10)
    separator = rtsep.Separator("live", rate=rate, channels=2, controls=controls)
    stems = separator.separate(song.T)
    for name in ("vocals", "instrumental"):
        of_file = soundfile.read(tmp_path / "song" / f"{name}.wav", dtype="float32", always_2d=True)[0].T
        assert np.array_equal(getattr(stems, name), of_file)
    assert 0.1 < np.abs(stems.vocals).max() < np.abs(song).max() + 0.1


@pytest.mark.parametrize("rate", [44100, 32000])
@pytest.mark.parametrize("frames", [0, 1, 100, 8192, 30_000])
def test_a_whole_array_is_the_stream_without_its_latency(rate, frames):
    x = noise(2, frames)
    separator = Separator(PlainModel("state-counter"), rate, 2)
    stems = separator.separate(x)
    late = separator.process(np.pad(x, ((0, 0), (0, separator.latency))))[:, :, separator.latency :]
    assert np.array_equal(stems.vocals, late[0])
    assert np.array_equal(stems.instrumental, late[1])
    assert stems.vocals.shape == stems.instrumental.shape == x.shape
    assert np.array_equal(stems.instrumental, x - stems.vocals)


def test_mono_is_one_line_of_samples_whatever_the_channels():
    x = noise(1, 10_000)
    whole = Separator(PlainModel("half"), 44100, 1).separate(x)
    for channels in (1, 2):
        stems = Separator(PlainModel("half"), 44100, channels).separate(x[0])
        assert stems.vocals.shape == (10_000,)
        assert np.array_equal(stems.vocals, whole.vocals[0])
        assert np.array_equal(stems.instrumental, whole.instrumental[0])


def test_each_array_starts_afresh_and_so_does_what_follows():
    x = noise(2, 9000)
    fresh = Separator(PlainModel("state-counter"), 44100, 2)
    first = fresh.separate(x)
    streamed = fresh.process(x)
    fresh.process(noise(2, 777))
    again = fresh.separate(x)
    assert np.array_equal(first.vocals, again.vocals)
    assert np.array_equal(fresh.process(x), streamed)


def test_reset_forgets_the_stream_and_keeps_the_controls():
    x = noise(2, 5000)
    separator = Separator(PlainModel("state-counter"), 44100, 2, Controls(vocals_gain=-6))
    first = separator.process(x)
    assert not np.array_equal(separator.process(x), first)
    separator.reset()
    assert np.array_equal(separator.process(x), first)
    assert separator.controls.vocals_gain == -6


def test_controls_are_audible_from_the_next_hop_on():
    x = noise(2, 20_000)
    separator = Separator(PlainModel("half"), 44100, 2)
    before = separator.process(x)
    separator.controls.vocals_mute = 1
    after = separator.process(x)
    assert np.abs(before[0, :, -1000:]).max() > 0.1
    assert not after[0, :, separator.latency + 512 :].any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_of_any_size_are_taken(dtype):
    x = noise(2, 6000).astype(np.float16)
    expected = Separator(PlainModel("half"), 44100, 2).separate(x.astype(np.float32))
    stems = Separator(PlainModel("half"), 44100, 2).separate(x.astype(dtype))
    assert stems.vocals.dtype == np.float32
    assert np.array_equal(stems.vocals, expected.vocals)
    lists = Separator(PlainModel("half"), 44100, 2).separate(x.astype(float).tolist())
    assert np.array_equal(lists.vocals, expected.vocals)


def test_what_is_no_number_becomes_silence_and_harms_nothing_else():
    x = noise(2, 12_000)
    broken, clean = x.copy(), x.copy()
    for index, value in ((3000, np.nan), (5000, np.inf), (7000, -np.inf)):
        broken[:, index], clean[:, index] = value, 0
    expected = Separator(PlainModel("echo"), 44100, 2).separate(clean)
    stems = Separator(PlainModel("echo"), 44100, 2).separate(broken)
    assert np.array_equal(stems.vocals, expected.vocals)
    assert np.array_equal(stems.instrumental, expected.instrumental)


def test_the_array_that_is_given_stays_as_it_is():
    x = noise(2, 5000)
    kept = x.copy()
    x.flags.writeable = False
    separator = Separator(PlainModel("half"), 44100, 2)
    separator.separate(x)
    separator.process(x)
    assert np.array_equal(x, kept)


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (np.zeros((44100, 2), np.float32), "expected (2, frames), or mono (frames,); transpose it: audio.T"),
        (np.zeros((1, 100), np.float32), "make the Separator with channels=1"),
        (np.zeros((6, 100), np.float32), "make the Separator with channels=6"),
        (np.zeros((2, 10, 10), np.float32), "audio of shape (2, 10, 10): expected (2, frames)"),
        (np.float32(0), "audio of shape (): expected (2, frames)"),
        (np.zeros((2, 100), np.int16), "type int16: use floats with full scale 1; divide by 32768"),
        (np.zeros((2, 100), np.uint8), "samples of type uint8: use floats"),
        (np.zeros((2, 100), complex), "samples of type complex128: use floats"),
        (np.zeros((2, 100), bool), "samples of type bool: use floats"),
        ("song.wav", "samples of type <U8: use floats"),
        (None, "samples of type object: use floats"),
    ],
)  # fmt: skip
def test_arrays_of_another_kind_are_refused_with_a_remedy(audio, words):
    with pytest.raises(UsageError) as error:
        Separator(PlainModel(), 44100, 2).separate(audio)
    assert words in str(error.value)


def test_a_mono_block_is_told_what_it_needs():
    with pytest.raises(UsageError, match=r"block\[numpy\.newaxis\], for a Separator of channels=1"):
        Separator(PlainModel(), 44100, 2).process(np.zeros(100, np.float32))


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"model": "lve"}, ModelError, "no model is called 'lve'; did you mean 'live'?"),
        ({"model": "none/such.pt"}, ModelError, "no such model file"),
        ({"compute": "gpu"}, UsageError, "compute 'gpu': must be one of cpu, cuda"),
        ({"rate": 44100.5}, UsageError, "rate 44100.5: must be a whole number in Hz"),
        ({"rate": float("nan")}, UsageError, "rate nan: must be a whole number in Hz"),
        ({"rate": "44100"}, UsageError, "rate '44100': must be a whole number in Hz"),
        ({"rate": 0}, UsageError, "rate 0: must be 1 or more"),
        ({"rate": 999}, UsageError, "rate 999: 1000 to 1536000 Hz are possible"),
        ({"rate": 10**9}, UsageError, "rate 1000000000: 1000 to 1536000 Hz are possible"),
        ({"channels": -2}, UsageError, "channels -2: must be 1 or more"),
    ],
)
def test_values_that_make_no_sense_are_refused(arguments, kind, words):
    with pytest.raises(kind) as error:
        Separator(**arguments)
    assert words in str(error.value)
    assert isinstance(error.value, RtsepError)


# --- loading ------------------------------------------------------------------------------------------------


@pytest.mark.model_process
def test_a_model_by_path_is_as_good_as_a_loaded_one_and_leaves_torch_as_it_was(tmp_path):
    import torch

    path = make_model(tmp_path / "half.pt", "half")
    x = noise(2, 6000)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.set_flush_denormal(False)
    try:
        stems = rtsep.Separator(path, 44100.0, np.int64(2)).separate(x)
        assert torch.get_num_threads() == 2
        assert np.float32(1e-45) * np.float32(1) != 0  # denormals are not flushed
    finally:
        torch.set_num_threads(threads)
    expected = Separator(PlainModel("half"), 44100, 2).separate(x)
    assert np.array_equal(stems.vocals, expected.vocals)


def test_the_session_is_found_in_its_package_as_well():
    from rtsep.session import Session

    assert Session is rtsep.Session
