import math
import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from rtsep.realtime import clock
from rtsep.realtime.atomics import (
    CACHE_LINE,
    acquire,
    address_of,
    as_address,
    as_pointer,
    bits_to_float,
    load_acquire,
    release,
    store_release,
)


@njit(cache=True, nogil=True)
def as_float(bits):
    return bits_to_float(bits)


@njit(cache=True)
def there_and_back(address):
    return as_address(as_pointer(address))


@njit(cache=True)
def word_address(words, index):
    return address_of(words, index)


@njit(cache=True, nogil=True)
def produce(words, data, count):
    """Write `count` records through a ring: each record a row of data, then its number."""
    size = data.shape[0]
    for number in range(count):
        while number - load_acquire(words, CACHE_LINE) >= size:
            pass
        for k in range(data.shape[1]):
            data[number % size, k] = number * 31 + k
        store_release(words, 0, number + 1)


@njit(cache=True, nogil=True)
def consume(words, data, count):
    """Read them in order; return how many were not what was written."""
    size = data.shape[0]
    wrong = 0
    for number in range(count):
        while load_acquire(words, 0) <= number:
            pass
        for k in range(data.shape[1]):
            if data[number % size, k] != number * 31 + k:
                wrong += 1
        store_release(words, CACHE_LINE, number + 1)
    return wrong


def test_two_threads_without_the_gil_see_every_record_whole_and_in_order():
    words, data, count = np.zeros(2 * CACHE_LINE, np.int64), np.zeros((2, 5), np.int64), 300
    warm = np.zeros(2 * CACHE_LINE, np.int64)
    produce(warm, data, 1)
    assert consume(warm, data, 1) == 0
    data[:] = -1
    result = []
    reader = threading.Thread(target=lambda: result.append(consume(words, data, count)))
    reader.start()
    produce(words, data, count)
    reader.join()
    assert result == [0]
    assert words[0] == words[CACHE_LINE] == count


def test_a_consumer_does_see_what_was_not_written():
    words, data = np.zeros(2 * CACHE_LINE, np.int64), np.zeros((2, 5), np.int64)
    produce(words, data, 2)
    data[1, 3] += 1
    words[CACHE_LINE] = 0
    assert consume(words, data, 2) == 1


@given(st.floats(width=64))
def test_bits_travel_as_float64(value):
    back = as_float(np.float64(value).view(np.int64))
    assert np.float64(back).view(np.int64) == np.float64(value).view(np.int64) or math.isnan(value)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 7))
def test_a_released_value_is_acquired_and_its_neighbours_stay(value, index):
    words = np.arange(8, dtype=np.int64)
    release(words, index, value)
    assert acquire(words, index) == value
    assert np.array_equal(np.delete(words, index), np.delete(np.arange(8), index))


def test_addresses_are_those_of_the_slots():
    words = np.zeros(8, np.int64)
    for index in (0, 5):
        assert word_address(words, index) == words[index:].ctypes.data
    assert there_and_back(12345678912345) == 12345678912345


def test_the_clock_is_monotonic_and_a_sleep_lasts_at_least_its_time():
    scratch = np.zeros(clock.SCRATCH, np.int64)

    @njit(nogil=True)
    def measure(scratch):
        before = clock.now_ns(scratch)
        clock.sleep_ns(3_000_000, scratch)
        return before, clock.now_ns(scratch)

    before, after = measure(scratch)
    assert after - before >= 3_000_000
