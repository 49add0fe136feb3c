"""The terminal view on a session in another program, in Textual's pilot."""

from __future__ import annotations

import asyncio
import time

from rtsep.surfaces.remote.player import RemotePlayer
from rtsep.surfaces.view.palette import Depth
from rtsep.surfaces.view.view import LiveView
from tests import waiting


def test_the_view_shows_and_turns_a_session_elsewhere(server, session):
    player = RemotePlayer(server.name, lambda line: None)
    view = LiveView(player, player.over, Depth.BLOCKS)

    def text() -> str:
        return "\n".join(strip.text for strip in view.screen._compositor.render_strips())

    async def until(there) -> None:
        over = time.monotonic() + waiting.PATIENCE_S
        while not there():
            assert time.monotonic() < over, text()
            await asyncio.sleep(0.05)

    async def act() -> None:
        async with view.run_test(size=(130, 40)) as pilot:
            await until(lambda: "playing" in text() and "[tests] ten minutes.flac" in text())
            session.controls.set("gate", 0.15, "MIDI")
            await until(lambda: "0.15 MIDI" in text())
            muted = session.controls.vocals_mute
            await pilot.press("v")
            await until(lambda: session.controls.vocals_mute != muted)
            assert session.controls.moved_by("vocals_mute") == "key"
            await pilot.press("v", "m")
            await until(lambda: "Play with another model" in text() and "stage" in text())
            await pilot.press("escape")
            await until(lambda: "Play with another model" not in text())
            await pilot.press("q")
            await until(player.over)

    try:
        asyncio.run(act())
    finally:
        player.end()
    assert session.state == "playing"
    assert session.controls.vocals_mute == 0
