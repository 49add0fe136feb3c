"""A device that changes the size of its calls while it plays: the output follows, and nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest

from rtsep.audio import rings as layout
from rtsep.audio.prefill import CHOSEN, prefill
from rtsep.audio.rings import Rings
from tests.audio.bench import call_input, call_output

RATE, HOP = 48000, 256


class Player:
    """One clock: input, a hop loop that is always in time and changes nothing, output."""

    def __init__(self, block: int, slack: int = CHOSEN) -> None:
        self.rings = Rings(RATE, 1, [0], 1)
        self.slack = slack
        state = self.rings.state
        state[layout.BLOCK] = block
        state[layout.HOP] = state[layout.MAX_HOP] = HOP
        state[layout.SLACK] = slack
        state[layout.OUT_WRITE] = state[layout.PREFILL] = self.lag = prefill(HOP, HOP, slack, block)
        self.received: list[np.ndarray] = []
        self.at = 0

    def call(self, frames: int) -> None:
        played = np.sin(2 * np.pi * 440 / RATE * np.arange(self.at, self.at + frames))
        self.at += frames
        out = np.full((frames, 1), np.nan, np.float32)
        call_input(self.rings.state, played.astype(np.float32)[:, None])
        call_output(self.rings.state, out)
        self.received.append(out[:, 0])
        self.run_hops()

    def run_hops(self) -> None:
        state, size = self.rings.state, len(self.rings.input)
        while state[layout.IN_READ] + HOP <= state[layout.IN_WRITE]:
            first = int(state[layout.IN_READ])
            written = int(state[layout.OUT_WRITE])
            self.rings.output[(written + np.arange(HOP)) % size] = self.rings.input[
                (first + np.arange(HOP)) % size
            ]
            state[layout.IN_READ] += HOP
            state[layout.OUT_WRITE] += HOP

    def play(self, block: int, seconds: float) -> None:
        for _ in range(round(seconds * RATE / block)):
            self.call(block)

    @property
    def delay(self) -> int:
        """Frames by which it should play later, with hops and calls that do not begin together."""
        state = self.rings.state
        waiting = int(state[layout.IN_WRITE] - state[layout.IN_READ])
        return int(prefill(HOP, HOP, self.slack, state[layout.BLOCK], waiting))

    @property
    def sound(self) -> np.ndarray:
        return np.concatenate(self.received)


def assert_delayed_by(player: Player, lag: int, frames: int) -> None:
    """The last `frames` frames are the input, `lag` frames ago."""
    at = np.arange(player.at - frames, player.at) - lag
    np.testing.assert_allclose(player.sound[-frames:], np.sin(2 * np.pi * 440 / RATE * at), atol=1e-6)


@pytest.mark.parametrize("slack", [CHOSEN, 0, 500])
@pytest.mark.parametrize(("before", "after"), [(256, 1024), (1024, 256), (64, 2048), (300, 441), (441, 16)])
def test_another_block_costs_no_frame_and_has_its_own_delay(before, after, slack):
    player = Player(before, slack)
    player.play(before, 0.5)
    assert_delayed_by(player, player.delay, 4096)
    player.play(after, 1.0)
    state = player.rings.state
    assert state[layout.UNDERRUNS] == 0
    assert state[layout.BLOCK] == after
    assert_delayed_by(player, player.delay, 4096)


def test_a_larger_block_is_followed_with_its_first_call():
    player = Player(256)
    player.play(256, 0.1)
    player.call(1024)
    assert player.rings.state[layout.BLOCK] == 1024
    assert_delayed_by(player, player.delay, 700)


def test_calls_of_mixed_sizes_have_the_delay_of_the_largest_at_its_worst():
    player = Player(1024)
    for _ in range(100):
        player.call(1024)
        player.call(96)
    assert player.rings.state[layout.UNDERRUNS] == 0
    assert player.rings.state[layout.BLOCK] == 1024
    assert_delayed_by(player, 1024 + HOP - 1, 50_000)


def test_calls_of_any_size_keep_their_delay_once_the_largest_has_come():
    player, random = Player(1024), np.random.default_rng(3)
    player.call(1024)
    for block in random.integers(1, 1001, 600):  # some six seconds, the largest in each a little different
        player.call(int(block))
    assert player.rings.state[layout.UNDERRUNS] == 0
    assert player.rings.state[layout.BLOCK] == 1024
    assert_delayed_by(player, 1024 + HOP - 1, 5 * RATE)


def test_a_hundred_random_changes_lose_nothing_and_do_not_click():
    player, random = Player(256), np.random.default_rng(7)
    player.play(256, 0.1)
    settled = len(player.sound)
    for block in random.choice([16, 64, 128, 200, 256, 441, 512, 1024, 2048, 4096, 8192], 100):
        player.play(int(block), float(random.uniform(0.01, 0.6)) + block / RATE)
    assert player.rings.state[layout.UNDERRUNS] == 0
    steps = np.abs(np.diff(player.sound[settled:], 2))
    # A jump from one phase to another without a fade is up to 2; within a fade of 5 ms it is small.
    assert steps.max() < 0.1


def test_two_clocks_are_steered_by_the_hop_loop_without_a_new_layout():
    rings = Rings(RATE, 1, [0], 1)
    rings.state[layout.BLOCK] = 256
    rings.state[layout.OUT_WRITE] = 10_000
    call_output(rings.state, np.zeros((512, 1), np.float32))
    assert (rings.state[layout.BLOCK], rings.state[layout.OUT_LAG]) == (512, 0)
