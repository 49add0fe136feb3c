"""The callback alone: what it copies, what it counts, what it does when the other side is late."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest
from numba import njit

from rtsep.audio import rings as layout
from rtsep.audio.callback import take_source
from rtsep.audio.engine_mixer import EngineMixer
from rtsep.audio.portaudio import portaudio_callback
from rtsep.audio.rings import Rings
from tests.audio.bench import call_input, call_output, noise


@njit
def call_source(state, frames):  # type: ignore[no-untyped-def]
    take_source(state, frames)


def test_the_state_has_its_former_name_too():
    rings = Rings(44100, 2, [0, 1], 2)
    assert rings.slots is rings.state


def test_input_takes_the_chosen_device_channels():
    rings = Rings(44100, 2, [3, 1], 4)
    device_block = noise(64, 4)
    call_input(rings.state, device_block)
    assert rings.state[layout.IN_WRITE] == 64
    np.testing.assert_array_equal(rings.input[:64], device_block[:, [3, 1]])


def test_input_wraps_around_the_ring():
    rings = Rings(8000, 1, [0], 2)
    frames = len(rings.input)
    whole = noise(frames + 100, 1)
    for start in range(0, len(whole), 50):
        call_input(rings.state, whole[start : start + 50])
    np.testing.assert_array_equal(rings.input[:100], whole[frames:])
    np.testing.assert_array_equal(rings.input[100:], whole[100:frames])


def test_output_plays_what_was_written():
    rings = Rings(44100, 2, [0, 1], 4)
    rings.output[:128] = noise(128, 4)
    rings.state[layout.OUT_WRITE] = 128
    out = np.full((128, 4), np.nan, np.float32)
    call_output(rings.state, out)
    np.testing.assert_array_equal(out, rings.output[:128])
    assert rings.state[layout.UNDERRUNS] == 0


def test_a_late_hop_costs_its_frames_and_no_more():
    """Stream time goes on during an underrun: the frame due at 300 is played at 300, not later."""
    rings = Rings(44100, 1, [0], 1)
    rings.output[:1000, 0] = np.arange(1000)
    rings.state[layout.OUT_WRITE] = 100
    out = np.full((256, 1), np.nan, np.float32)
    call_output(rings.state, out)
    np.testing.assert_array_equal(out[:100, 0], np.arange(100))
    np.testing.assert_array_equal(out[100:], 0)
    assert (rings.state[layout.UNDERRUNS], rings.state[layout.UNDERRUN_FRAMES]) == (1, 156)
    rings.state[layout.OUT_WRITE] = 1000
    call_output(rings.state, out)
    np.testing.assert_array_equal(out[:, 0], np.arange(256, 512))


def test_a_hop_loop_far_behind_gives_silence_and_no_old_frames():
    rings = Rings(44100, 1, [0], 1)
    rings.output[:] = 1
    rings.state[layout.OUT_READ], rings.state[layout.OUT_WRITE] = 5000, 1000
    out = np.full((64, 1), np.nan, np.float32)
    call_output(rings.state, out)
    np.testing.assert_array_equal(out, 0)
    assert rings.state[layout.UNDERRUN_FRAMES] == 64


def test_a_played_file_that_is_read_late_gives_counted_silence_and_its_end_is_none():
    rings = Rings(44100, 1, [0], 1)
    rings.input[:] = 1
    rings.state[layout.SOURCE_WRITE] = 100
    call_source(rings.state, 128)
    assert rings.state[layout.SOURCE_STARVED] == 28
    np.testing.assert_array_equal(rings.input[:128, 0], [1.0] * 100 + [0.0] * 28)
    rings.state[layout.SOURCE_END] = 128
    call_source(rings.state, 128)
    assert rings.state[layout.SOURCE_STARVED] == 28
    np.testing.assert_array_equal(rings.input[128:256], 0)


@pytest.mark.parametrize(("has_input", "has_output"), [(True, True), (True, False), (False, True)])
def test_the_c_function_serves_duplex_and_one_sided_streams(has_input, has_output):
    rings = Rings(44100, 2, [0, 1], 2)
    rings.output[:64] = noise(64, seed=1)
    rings.state[layout.OUT_WRITE] = 64
    mixer = EngineMixer(SimpleNamespace(state=rings.state), 44100, 64, 2)
    block, out = noise(64), np.full((64, 2), np.nan, np.float32)
    function = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong,
        ctypes.c_void_p,
    )(portaudio_callback.address)  # fmt: skip
    overflow_and_underflow = 0x2 | 0x4
    result = function(
        block.ctypes.data if has_input else None, out.ctypes.data if has_output else None, 64, None,
        overflow_and_underflow, mixer.state.ctypes.data,
    )  # fmt: skip
    assert result == 0
    assert rings.state[layout.IN_WRITE] == (64 if has_input else 0)
    assert rings.state[layout.OUT_READ] == (64 if has_output else 0)
    assert rings.state[layout.IN_OVERFLOWS] == int(has_input)
    assert rings.state[layout.OUT_UNDERFLOWS] == int(has_output)
    if has_input:
        np.testing.assert_array_equal(rings.input[:64], block)
    if has_output:
        np.testing.assert_array_equal(out, rings.output[:64])
