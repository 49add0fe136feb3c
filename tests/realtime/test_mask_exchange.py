import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtsep
from rtsep.realtime import mask_exchange as rings
from rtsep.realtime.atomics import acquire, release
from rtsep.realtime.mask_exchange import CAPACITY, MaskExchange

ROOT = Path(rtsep.__file__).parents[1]
CHANNELS, BINS = 2, 9


@pytest.fixture
def shared():
    shared = MaskExchange.create(CHANNELS, BINS)
    yield shared
    shared.close()


def scratch():
    return np.zeros(2, np.int64)


def test_fresh_slots_are_empty(shared):
    exchange = shared.exchange
    assert exchange.columns.shape == (CAPACITY, CHANNELS, BINS, 2)
    assert exchange.masks.shape == (CAPACITY, CHANNELS, BINS)
    assert not exchange.header.any() and not exchange.columns.any() and not exchange.masks.any()
    assert acquire(exchange.header, rings.MODEL_STATE) == rings.STARTING
    assert not rings.mask_is_there(exchange, 0)


def test_header_slots_keep_to_their_own_cache_lines():
    places = [
        rings.COLUMNS,
        rings.MODEL_STATE,
        rings.MODEL_STEPS,
        rings.MODEL_SKIPPED,
        rings.STOP,
        rings.SEQUENCE,
    ]
    assert len({place * 8 // 64 for place in places}) == len(places)


def test_nothing_overlaps(shared):
    exchange = shared.exchange
    exchange.columns[:] = 1
    assert not exchange.header.any() and not exchange.masks.any()
    exchange.masks[:] = 2
    assert not exchange.header.any() and np.all(exchange.columns == 1)
    exchange.header[:] = -1
    assert np.all(exchange.columns == 1) and np.all(exchange.masks == 2)


@given(st.integers(0, 10**12))
def test_a_mask_is_there_for_its_own_column_only(number):
    shared = MaskExchange.create(1, 3)
    try:
        exchange = shared.exchange
        rings.publish_mask(exchange, number)
        assert rings.mask_is_there(exchange, number)
        # the columns that share its slot are other columns
        assert not rings.mask_is_there(exchange, number + CAPACITY)
        assert number < CAPACITY or not rings.mask_is_there(exchange, number - CAPACITY)
        assert not rings.mask_is_there(exchange, number + 1)
        assert exchange.header[rings.MODEL_STEPS] == 1
        rings.publish_mask(exchange, number + CAPACITY)
        assert not rings.mask_is_there(exchange, number)
        assert exchange.header[rings.MODEL_STEPS] == 2
    finally:
        shared.close()


def test_waiting_for_a_column_tells_how_many_are_published(shared):
    exchange = shared.exchange
    assert rings.await_column(exchange, 0, 1_000_000, scratch()) == 0
    rings.publish_column(exchange, 0)
    rings.publish_column(exchange, 1)
    assert rings.await_column(exchange, 0, 0, scratch()) == 2
    assert rings.await_column(exchange, 2, 1_000_000, scratch()) == 2


def test_the_owner_removes_the_file_and_a_guest_does_not():
    owner = MaskExchange.create(CHANNELS, BINS)
    guest = MaskExchange.attach(owner.path, CHANNELS, BINS)
    guest.close()
    assert owner.path.exists()
    owner.close()
    assert not owner.path.exists()
    owner.close()  # twice is no error


def test_a_guest_sees_the_same_memory_and_leaves_the_semaphores_as_they_are(shared):
    rings.publish_column(shared.exchange, 0)
    guest = MaskExchange.attach(shared.path, CHANNELS, BINS)
    shared.exchange.columns[3, 1, 2] = 5, 6
    assert guest.exchange.columns[3, 1, 2].tolist() == [5, 6]
    guest.exchange.masks[7] = 0.5
    assert np.all(shared.exchange.masks[7] == 0.5)
    assert acquire(guest.exchange.header, rings.COLUMNS) == 1
    guest.close()


CHILD = """
import sys
from pathlib import Path
import numpy as np
from rtsep.realtime import mask_exchange as rings
shared = rings.MaskExchange.attach(Path(sys.argv[1]), 2, 9)
exchange, scratch = shared.exchange, np.zeros(2, np.int64)
count = int(sys.argv[2])
for number in range(count):
    while rings.await_column(exchange, number, 100_000_000, scratch) <= number:
        pass
    slot = number % rings.CAPACITY
    exchange.masks[slot] = exchange.columns[slot, :, :, 0] + exchange.columns[slot, :, :, 1]
    rings.publish_mask(exchange, number)
"""


def test_another_process_answers_every_column_in_order(shared):
    exchange, count = shared.exchange, 3 * CAPACITY
    command = [sys.executable, "-c", CHILD, str(shared.path), str(count)]
    child = subprocess.Popen(command, cwd=ROOT, env=os.environ)
    try:
        for number in range(count):
            column = exchange.columns[number % CAPACITY]
            column[..., 0], column[..., 1] = number, np.arange(BINS)
            rings.publish_column(exchange, number)
            while not rings.mask_is_there(exchange, number):
                assert child.poll() in (None, 0)
            assert np.array_equal(
                exchange.masks[number % CAPACITY], np.tile(number + np.arange(BINS), (CHANNELS, 1))
            )
        assert child.wait(60) == 0
        assert acquire(exchange.header, rings.MODEL_STEPS) == count
    finally:
        child.kill()
        child.wait()


def test_stop_is_seen_by_a_guest(shared):
    guest = MaskExchange.attach(shared.path, CHANNELS, BINS)
    release(shared.exchange.header, rings.STOP, 1)
    assert acquire(guest.exchange.header, rings.STOP) == 1
    guest.close()
