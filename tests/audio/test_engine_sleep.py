"""The model sleeps while the input is silent, and answers the first hop with sound."""

from __future__ import annotations

import numpy as np

from rtsep.audio.hoploop import SLEEP_AFTER_S
from tests.audio.bench import Bench, noise, one_clock

BLOCK = HOP = 256
HOPS = round(SLEEP_AFTER_S * 44100 / HOP)


def test_silence_puts_the_model_to_sleep_and_the_first_sound_wakes_it():
    asked = []

    def answer(number, column):
        asked.append(number)
        return 0.25

    with Bench(one_clock(BLOCK), answer) as bench:
        bench.play(noise(20 * HOP))
        bench.play(np.zeros(((HOPS - 5) * HOP, 2), np.float32))
        assert not bench.engine.asleep and len(asked) == 20 + HOPS - 5
        bench.play(1e-5 * noise(100 * HOP))
        assert bench.engine.asleep
        slept = len(asked)
        assert slept <= 20 + HOPS + 1
        sound = noise(30 * HOP, seed=2)
        out = bench.play(sound)
        assert not bench.engine.asleep and len(asked) == slept + 30
        assert asked == list(range(len(asked)))
        latency = bench.engine.latency.total
        vocals = out[latency:, :2]
        np.testing.assert_allclose(vocals, 0.25 * sound[: len(vocals)], atol=2e-5)
