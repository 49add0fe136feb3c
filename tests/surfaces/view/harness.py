"""A harness of the view: a scripted player, a clock that the test sets, and Textual's pilot for keys."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot
from textual.worker import WorkerCancelled

from rtsep.surfaces.view.palette import Depth
from rtsep.surfaces.view.view import FRAMES_PER_S, LiveView
from tests.surfaces.view.scripted import ScriptedPlayer

PATIENCE_S = 60.0


class ViewHarness:
    """A view with its player, clock and keys."""

    def __init__(self, depth: Depth) -> None:
        self.player = ScriptedPlayer()
        self.now = 100.0
        self.view = LiveView(self.player, lambda: self.player.ended, depth, clock=lambda: self.now)
        self.pilot: Pilot[None]

    @property
    def controls(self) -> Any:
        return self.player.controls

    async def play(self, seconds: float = 0.2) -> None:
        """Let the player play and the view draw."""
        for number in range(round(seconds * FRAMES_PER_S)):
            self.player.advance(1 / FRAMES_PER_S)
            self.now += 1 / FRAMES_PER_S
            self.view.frame()
            if number % 8 == 0:
                await self.pilot.pause(0)
        await self.pilot.pause()

    async def play_until(self, happens: Callable[[], bool]) -> None:
        """Play until `happens()`: a new size is laid out on a busy machine only some frames later."""
        until = time.monotonic() + PATIENCE_S
        while not happens():
            assert time.monotonic() < until, self.text
            await self.play()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self) -> None:
        """Let workers finish and what they have changed be drawn."""
        with contextlib.suppress(WorkerCancelled):  # a list that closes ends the worker that closes it
            await self.view.workers.wait_for_complete()
        await self.pilot.pause()
        self.view.frame()
        await self.pilot.pause()

    @property
    def lines(self) -> list[str]:
        """The text on the screen."""
        strips = self.view.screen._compositor.render_strips()
        return [strip.text for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def with_view(
    act: Callable[[ViewHarness], Awaitable[None]],
    size: tuple[int, int] = (80, 24),
    depth: Depth = Depth.BLOCKS,
) -> None:
    """Run `act` with a view of `size`, in columns and lines."""

    async def run() -> None:
        harness = ViewHarness(depth)
        try:
            async with harness.view.run_test(size=size) as harness.pilot:
                await harness.pilot.pause()
                await harness.play()
                await act(harness)
        finally:
            harness.player.close()

    asyncio.run(run())


def find(harness: ViewHarness, text: str) -> tuple[int, int]:
    """Return column and line of `text` on the screen."""
    for y, line in enumerate(harness.lines):
        if text in line:
            return line.index(text), y
    raise AssertionError(f"'{text}' is not on the screen:\n{harness.text}")
