"""A view on a stage: a scripted player, a clock that the test turns, Textual's pilot for hands."""

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


class Stage:
    """What a test of the view has at hand."""

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
        """What can be read on the screen."""
        strips = self.view.screen._compositor.render_strips()
        return [strip.text for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def on_stage(
    act: Callable[[Stage], Awaitable[None]], size: tuple[int, int] = (80, 24), depth: Depth = Depth.BLOCKS
) -> None:
    """Run `act` on a stage of `size`."""

    async def run() -> None:
        stage = Stage(depth)
        try:
            async with stage.view.run_test(size=size) as stage.pilot:
                await stage.pilot.pause()
                await stage.play()
                await act(stage)
        finally:
            stage.player.close()

    asyncio.run(run())


def find(stage: Stage, text: str) -> tuple[int, int]:
    """Return column and line of `text` on the screen."""
    for y, line in enumerate(stage.lines):
        if text in line:
            return line.index(text), y
    raise AssertionError(f"'{text}' is not on the screen:\n{stage.text}")
