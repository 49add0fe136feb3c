"""Another mixer takes the place of one on the same stream: both halves of a call go to one of them."""

from __future__ import annotations

import gc
import time
import weakref
from types import SimpleNamespace

import numpy as np
from numba import njit

from rtsep.audio import rings as layout
from rtsep.audio.engine_mixer import CALL_OVER_S, EngineMixer, process_input, process_output
from rtsep.audio.rings import Rings
from tests.audio.test_engine_mixer import call_mixer
from tests.waiting import until


@njit
def input_only(mixer, block):  # type: ignore[no-untyped-def]
    process_input(mixer, block.ctypes.data, block.shape[0], 0)


@njit
def output_only(mixer, block):  # type: ignore[no-untyped-def]
    process_output(mixer, block.ctypes.data, block.shape[0], 0)


def engine(value: float, rate: int) -> Rings:
    """Output of an engine: `value`, as often as requested."""
    rings = Rings(rate, 1, [0], 1)
    rings.output[:] = value
    rings.state[layout.OUT_WRITE] = 1 << 40
    return rings


def a_mixer(rings: Rings, silent: int | None = None) -> EngineMixer:
    return EngineMixer(SimpleNamespace(state=rings.state, owner=rings), 44100, 64, 1, silent)


def call(mixer: EngineMixer) -> np.ndarray:
    out = np.full((64, 1), np.nan, np.float32)
    call_mixer(mixer.state, np.zeros((64, 1), np.float32), out)
    return out[:, 0]


def test_calls_of_the_first_mixer_go_to_its_last_successor():
    rings = [engine(value, 44100) for value in (1.0, 2.0, 3.0)]
    first, *later = [a_mixer(one) for one in rings]
    np.testing.assert_array_equal(call(first), 1)
    for value, mixer in enumerate(later, start=2):
        first.hand_over(mixer)
        np.testing.assert_array_equal(call(first), value)
    assert [int(one.state[layout.IN_WRITE]) for one in rings] == [64, 64, 64]
    assert [int(one.state[layout.OUT_READ]) for one in rings] == [64, 64, 64]


def test_a_call_whose_input_went_to_the_old_one_gets_its_output_from_there():
    before, after = engine(1.0, 44100), engine(2.0, 48000)
    first, second = a_mixer(before), a_mixer(after)
    out = np.full((64, 1), np.nan, np.float32)
    input_only(first.state, np.zeros((64, 1), np.float32))
    first.hand_over(second)
    output_only(first.state, out)
    np.testing.assert_array_equal(out, 1)
    np.testing.assert_array_equal(call(first), 2)
    assert after.state[layout.IN_WRITE] == after.state[layout.OUT_READ] == 64


def test_a_successor_fades_in():
    first, second = a_mixer(engine(1.0, 44100)), a_mixer(engine(1.0, 44100), silent=64)
    first.hand_over(second)
    assert not call(first).any()
    assert 0 < call(first)[-1] < 0.1


def test_replaced_engines_are_released_once_a_call_has_used_the_successor():
    rings = [engine(value, 44100) for value in (1.0, 2.0, 3.0)]
    first, second, third = (a_mixer(one) for one in rings)
    alive = [weakref.ref(one) for one in rings]
    rings.clear()
    call(first)
    first.hand_over(second)
    first.hand_over(third)
    time.sleep(CALL_OVER_S)
    assert not first.drop_replaced(), "no call has used the third mixer yet"
    del second
    np.testing.assert_array_equal(call(first), 3)
    until(first.drop_replaced)
    gc.collect()
    assert [one() is not None for one in alive] == [False, False, True]
    del third
    np.testing.assert_array_equal(call(first), 3)
