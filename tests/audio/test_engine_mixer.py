"""Another engine comes in over the one that plays: nothing clicks, nothing is lost or played twice."""

from collections.abc import Callable

import numpy as np
import pytest
from numba import njit

from rtsep.audio import rings
from rtsep.audio.engine import Engine
from rtsep.audio.engine_mixer import FADE_S, EngineMixer, process_input, process_output
from tests.audio.bench import Bench, one_clock
from tests.audio.test_engine import SLACK

RATE = 44100
FADE = round(FADE_S * RATE)


@njit
def call_hear(mixer: np.ndarray, block: np.ndarray) -> None:
    process_input(mixer, block.ctypes.data, block.shape[0], 0)


@njit
def call_play(mixer: np.ndarray, out: np.ndarray) -> None:
    process_output(mixer, out.ctypes.data, out.shape[0], 0)


@njit
def call_mixer(mixer: np.ndarray, block: np.ndarray, out: np.ndarray) -> None:
    call_hear(mixer, block)
    call_play(mixer, out)


class Table:
    """Two benches, one mixer: mask 1 (all is voice) plays, mask 0 comes."""

    def __init__(self, first: Bench, second: Bench) -> None:
        self.first, self.second = first, second
        self.mixer = EngineMixer(first.engine, RATE, first.format.block, 4)
        self.running = [first]

    def call(self, block: np.ndarray, between: Callable[[], None] | None = None) -> np.ndarray:
        """Call as a device does; `between` is what the front does in the midst of it."""
        state, block = self.mixer.state, np.ascontiguousarray(block, np.float32)
        out = np.full((len(block), 4), np.nan, np.float32)
        if between:
            call_hear(state, block)
            between()
            call_play(state, out)
        else:
            call_mixer(state, block, out)
        for bench in self.running:
            bench.settle()
        return out

    def play(self, blocks: np.ndarray) -> np.ndarray:
        return np.concatenate([self.call(block) for block in blocks])


@pytest.fixture
def noise():
    return np.random.default_rng(5).uniform(-0.5, 0.5, (640 * 256, 2)).astype(np.float32)


def opened(block, **second):
    first = Bench(one_clock(block, slack=SLACK), lambda *_: 1.0)
    return first, Bench(one_clock(block, slack=SLACK), lambda *_: 0.0, **second)


def start_late(bench: Bench) -> None:
    """As `Bench.__enter__`, but for the engine, which is to join first."""
    start, Engine.start = Engine.start, lambda _self: None
    try:
        bench.__enter__()
    finally:
        Engine.start = start


@pytest.mark.parametrize(
    ("block", "second"), [(256, {}), (64, {}), (2048, {}), (256, {"hop": 128, "synthesis": 256})]
)
def test_another_engine_fades_in_over_the_first(noise, block, second):
    first, second_bench = opened(block, **second)
    calls = noise.reshape(-1, block, 2)
    with first:
        start_late(second_bench)
        try:
            table = Table(first, second_bench)
            third = len(calls) // 3
            before = table.play(calls[:third])
            table.mixer.add_incoming(second_bench.engine)
            assert not table.mixer.synced
            joining = table.call(calls[third])
            assert table.mixer.synced and not table.mixer.faded_in
            second_bench.engine.start()
            table.running.append(second_bench)
            along = table.play(calls[third + 1 : 2 * third])
            table.mixer.fade_in()
            fading = []
            while not table.mixer.faded_in:
                fading.append(table.call(calls[2 * third + len(fading)]))
            table.mixer.drop_other()
            assert table.mixer.serves(second_bench.engine) and not table.mixer.serves(first.engine)
            table.running = [second_bench]
            after = table.play(calls[2 * third + len(fading) :])
        finally:
            second_bench.__exit__()
    out = np.concatenate([before, joining, along, *fading, after])
    lag_first, lag_second = first.engine.latency.total, second_bench.engine.latency.total
    start = 2 * third * block
    assert len(fading) == -(-FADE // block)
    # The first one alone: all in the vocals, in time.
    np.testing.assert_allclose(out[lag_first:start, :2], noise[: start - lag_first], atol=2e-6)
    # The second one alone: all in the instrumental, in time.
    end = start + len(fading) * block
    np.testing.assert_allclose(out[end:, 2:], noise[end - lag_second : len(noise) - lag_second], atol=2e-6)
    np.testing.assert_allclose(out[end:, :2], 0, atol=2e-6)
    # Between: a straight line from one to the other.
    gain = np.minimum(1, (np.arange(end - start) + 1) / FADE)[:, None]
    wanted = (1 - gain) * noise[start - lag_first : end - lag_first]
    np.testing.assert_allclose(out[start:end, :2], wanted, atol=2e-6)
    wanted = gain * noise[start - lag_second : end - lag_second]
    np.testing.assert_allclose(out[start:end, 2:], wanted, atol=2e-6)
    for bench in (first, second_bench):
        counted = bench.engine.counters()
        assert counted["underruns"] == counted["overruns"] == counted["late_masks"] == 0


def test_an_engine_that_does_not_come_after_all_leaves_no_trace(noise):
    first, second = opened(256)
    calls = noise.reshape(-1, 256, 2)
    with first:
        start_late(second)
        try:
            table = Table(first, second)
            out = [table.play(calls[:50])]
            table.mixer.add_incoming(second.engine)
            out.append(table.play(calls[50:60]))
            table.mixer.drop_other()
            assert table.mixer.serves(first.engine)
            out.append(table.play(calls[60:300]))
        finally:
            second.__exit__()
    lag = first.engine.latency.total
    np.testing.assert_allclose(np.concatenate(out)[lag:, :2], noise[: 300 * 256 - lag], atol=2e-6)


def test_an_engine_that_is_put_on_in_the_midst_of_a_call_is_as_late_as_any(noise):
    first, second = opened(256)
    calls = noise.reshape(-1, 256, 2)
    with first:
        start_late(second)
        try:
            table = Table(first, second)
            table.play(calls[:50])
            table.call(calls[50], lambda: table.mixer.add_incoming(second.engine))
            assert not table.mixer.synced, "what it keeps ready would lie before its first input"
            table.call(calls[51])
            assert table.mixer.synced
            second.engine.start()
            table.running.append(second)
            table.mixer.fade_in()
            out = table.play(calls[52:300])
        finally:
            second.__exit__()
    lag = second.engine.latency.total
    sound = 52 * 256 + 1024  # the first window is whole
    output = out[sound + lag - 52 * 256 :, 2:]
    assert len(output) > 20_000
    np.testing.assert_allclose(output, noise[sound : 300 * 256 - lag], atol=2e-6)


@pytest.mark.parametrize("block", [256, 4096])
def test_an_engine_that_comes_has_the_clock_and_the_count_of_the_one_that_plays(noise, block):
    first, second = opened(block)
    calls = noise.reshape(-1, block, 2)
    with first:
        start_late(second)
        try:
            table = Table(first, second)
            table.play(calls[:5])
            table.mixer.add_incoming(second.engine)
            table.call(calls[5])
            second.engine.start()
            table.running.append(second)
            for call in calls[6:10]:
                table.call(call)
                now, before = (bench.engine for bench in (second, first))
                for slot in (rings.IN_WRITE, rings.OUT_READ, rings.OUT_FRAMES, rings.RECORD_WRITE):
                    assert now.read(slot) == before.read(slot)
                # Its mask is waited for until a time on this clock: of one call, read once more.
                assert now.read(rings.OUT_BASE_NS) >= before.read(rings.OUT_BASE_NS)
        finally:
            second.__exit__()
