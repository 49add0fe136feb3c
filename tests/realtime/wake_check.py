"""Requirements of every kind of wake-up; test_wake.py runs them here and, with RTSEP_WAKE=poll, in a child.

Waits use patience that only a broken primitive exhausts; nothing is measured.
"""

from __future__ import annotations

import threading

import numpy as np
from numba import njit

from rtsep.realtime import wake
from rtsep.realtime.atomics import load_acquire, store_release

PATIENCE_NS = 20_000_000_000


@njit(nogil=True)
def wait_once(handle, timeout_ns):
    wake.wait(handle, timeout_ns, np.zeros(wake.SCRATCH, np.int64))


@njit(nogil=True)
def wait_for(words, handle, number, rounds):
    """Wait as a ring's reader does: look, wait, look again. Return the rounds that were left."""
    scratch = np.zeros(wake.SCRATCH, np.int64)
    while load_acquire(words, 0) < number and rounds > 0:
        wake.wait(handle, 10_000_000_000, scratch)
        rounds -= 1
    return rounds


@njit(nogil=True)
def publish(words, handle, number):
    store_release(words, 0, number)
    wake.post(handle)


def a_post_wakes_a_waiter() -> None:
    semaphore, words, seen = wake.Semaphore(), np.zeros(8, np.int64), []
    # A poll lasts 0.25 ms: these rounds last as long as PATIENCE_NS.
    rounds = PATIENCE_NS // 250_000 if semaphore.handle == 0 else 2
    waiter = threading.Thread(target=lambda: seen.append(wait_for(words, semaphore.handle, 1, rounds)))
    waiter.start()
    publish(words, semaphore.handle, 1)
    waiter.join(60)
    assert not waiter.is_alive()
    assert words[0] == 1 and seen[0] > 0, "the waiter gave up before the post reached it"
    semaphore.close()


def a_wait_without_a_post_ends() -> None:
    semaphore = wake.Semaphore()
    ended = threading.Thread(target=wait_once, args=(semaphore.handle, 1_000_000))
    ended.start()
    ended.join(60)
    assert not ended.is_alive()
    semaphore.close()


def early_posts_are_not_lost() -> None:
    semaphore = wake.Semaphore()
    words = np.zeros(8, np.int64)
    for number in (1, 2, 3):
        publish(words, semaphore.handle, number)
    waiter = threading.Thread(target=wait_once, args=(semaphore.handle, PATIENCE_NS * 100))
    waiter.start()
    waiter.join(60)
    assert not waiter.is_alive(), "a post before the wait was lost"
    semaphore.close()


def many_rounds_of_ping_pong_lose_nothing() -> None:
    there, back = wake.Semaphore(), wake.Semaphore()
    ping, pong, count = np.zeros(8, np.int64), np.zeros(8, np.int64), 200

    def answer() -> None:
        for number in range(1, count + 1):
            wait_for(ping, there.handle, number, 10**9)
            publish(pong, back.handle, number)

    other = threading.Thread(target=answer)
    other.start()
    for number in range(1, count + 1):
        publish(ping, there.handle, number)
        wait_for(pong, back.handle, number, 10**9)
    other.join(60)
    assert not other.is_alive() and pong[0] == count
    there.close()
    back.close()


@njit(nogil=True)
def keep_full(memory, ended):
    while load_acquire(ended, 0) == 0:
        store_release(memory, 0, 0x7FFFFFFF)


def no_value_in_shared_memory_ends_the_program_or_holds_it() -> None:
    """As another process may write it, which runs the program of a stranger."""
    memory, ended, words = np.zeros(8, np.int64), np.zeros(8, np.int64), np.zeros(8, np.int64)
    semaphore = wake.Semaphore(memory.ctypes.data)
    for value in (64, -1, 0x7FFFFFFF):
        memory.view(np.int32)[:] = value
        publish(words, semaphore.handle, 1)
    writer = threading.Thread(target=keep_full, args=(memory, ended))
    writer.start()
    waiter = threading.Thread(target=wait_once, args=(semaphore.handle, 1_000_000), daemon=True)
    waiter.start()
    waiter.join(20)
    held = waiter.is_alive()
    ended[0] = 1
    writer.join()
    assert not held
    semaphore.close()


CHECKS = [
    a_post_wakes_a_waiter,
    a_wait_without_a_post_ends,
    early_posts_are_not_lost,
    many_rounds_of_ping_pong_lose_nothing,
    no_value_in_shared_memory_ends_the_program_or_holds_it,
]

if __name__ == "__main__":
    from rtsep.realtime import mask_exchange as rings

    for check in CHECKS:
        check()
    # The cached code of a process that does not poll must do for one that polls.
    shared = rings.MaskExchange.create(1, 9)
    rings.publish_column(shared.exchange, 0)
    assert rings.await_column(shared.exchange, 0, 1_000_000, np.zeros(2, np.int64)) == 1
    assert rings.await_column(shared.exchange, 1, 1_000_000, np.zeros(2, np.int64)) == 1
    rings.publish_mask(shared.exchange, 0)
    assert rings.mask_is_there(shared.exchange, 0)
    shared.close()
    print(wake.NAME)
