"""Copies between rows of fixed buffers, against numpy's, which makes a copy first."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.dsp.shift import copy_row, copy_rows, push, shift_left
from tests.audio.bench import noise


@pytest.mark.parametrize("frames", [1, 2, 7, 64, 100, 2048])
@pytest.mark.parametrize("by", [1, 2, 3, 63, 64, 100, 2047])
def test_a_shift_is_that_of_a_copy(frames, by):
    row = noise(frames, 1)[:, 0]
    expected = row.copy()
    if by < frames:
        expected[:-by] = row[by:].copy()
    shift_left(row, by)
    np.testing.assert_array_equal(row, expected)


@pytest.mark.parametrize("frames", [0, 1, 5, 255, 256, 999, 1000])
def test_a_pushed_block_is_the_end_of_what_came_before_and_itself(frames):
    history, block = noise(1000).T.copy(), noise(frames, seed=1).T.copy()
    expected = np.concatenate([history, block], axis=1)[:, frames:]
    push(history, block)
    np.testing.assert_array_equal(history, expected)


def test_copies_leave_what_lies_behind_alone():
    source, target = noise(10, 3).T.copy(), np.full((4, 12), 7, np.float32)
    copy_rows(source, target)
    np.testing.assert_array_equal(target[:3, :10], source)
    assert (target[:, 10:] == 7).all() and (target[3] == 7).all()
    copy_row(source[0], target[3])
    np.testing.assert_array_equal(target[3, :10], source[0])


def test_views_with_a_step_are_shifted_as_rows_are():
    memory = noise(64, 2)
    expected = np.concatenate([memory[16:, 0], memory[48:, 0]])
    shift_left(memory[:, 0], 16)
    np.testing.assert_array_equal(memory[:, 0], expected)
