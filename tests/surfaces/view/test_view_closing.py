"""A list over the picture as it closes, in Textual's pilot: what is typed meanwhile, Escape, filters."""

from __future__ import annotations

import threading
import time

import pytest
from textual.drivers import linux_driver
from textual.events import Key

from rtsep.surfaces.view.pickers import Picker
from tests import waiting
from tests.surfaces.view.stage import on_stage


def typed(view, *pieces: str) -> list[Key]:
    """Return the keys that the view's driver makes of what a terminal sends, piece by piece."""
    view.get_driver_class()
    parser = linux_driver.XTermParser()
    keys = [key for piece in pieces for key in parser.feed(piece)]
    waiting.until(lambda: keys.extend(parser.tick()) or parser._timeout_time is None)
    return [key for key in keys if isinstance(key, Key)]


async def until_closed(stage) -> None:
    """Wait until no list lies over the picture; no frame is drawn."""
    over = time.monotonic() + waiting.PATIENCE_S
    while isinstance(stage.view.screen, Picker):
        assert time.monotonic() < over
        await stage.pilot.pause(0.02)


def test_a_key_behind_escape_goes_nowhere_while_the_list_closes():
    async def act(stage):
        await stage.press("p")
        for key in ("escape", "v", "r"):
            stage.view.post_message(Key(key, key if len(key) == 1 else None))
        await stage.pilot.pause()
        assert not isinstance(stage.view.screen, Picker)
        assert stage.controls.vocals_mute == 0 and stage.controls.bypass == 0
        assert stage.player.calls == []
        await stage.settle()
        await stage.press("v")
        assert stage.controls.vocals_mute == 1

    on_stage(act)


def test_what_is_typed_while_a_pick_works_goes_nowhere():
    async def act(stage):
        may_end = threading.Event()
        stage.player.switch_model = lambda name: may_end.wait(30)
        await stage.press("m")
        await stage.pilot.press("enter")
        await stage.pilot.pause()
        assert "one moment..." in stage.text
        await stage.pilot.press("v", "x", "backspace")
        assert "v" not in stage.view.screen.query_one("Input").value
        assert "one moment..." in stage.text
        may_end.set()
        await until_closed(stage)
        await stage.pilot.press("v")  # the picture has not been drawn since
        assert stage.controls.vocals_mute == 0
        await stage.settle()
        await stage.press("v")
        assert stage.controls.vocals_mute == 1

    on_stage(act)


@pytest.mark.parametrize("pieces", [("\x1bb",), ("\x1b", "b")], ids=["at once", "fast"])
def test_escape_and_a_letter_are_two_keys(pieces):
    async def act(stage):
        for key in typed(stage.view, *pieces):  # over ssh, say: Textual takes it for ctrl+left
            stage.view.post_message(key)
        await stage.settle()
        assert stage.controls.bypass == 1
        await stage.press("m")
        for key in typed(stage.view, "\x1bv"):
            stage.view.post_message(key)
        await stage.settle()
        assert not isinstance(stage.view.screen, Picker)  # Escape was pressed
        assert stage.controls.vocals_mute == 0  # while it closed

    on_stage(act)


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("\x1bV", ["escape", "V"]),
        ("\x1b,", ["escape", "comma"]),
        ("\x1b\r", ["escape", "enter"]),
        ("\x1b\x1bq", ["escape", "escape", "q"]),
        ("\x1b[A\x1bOB", ["up", "down"]),
        ("x\x1b[1;2Cy", ["x", "shift+right", "y"]),
        ("\x1b", ["escape"]),
        ("\x1b[200~pasted\x1b[201~q", ["q"]),
    ],
)
def test_sequences_stay_keys_of_their_own(sent, keys):
    async def act(stage):
        assert [key.key for key in typed(stage.view, sent)] == keys
        assert [key.key for key in typed(stage.view, *sent)] == keys

    on_stage(act)


def test_a_filter_that_lets_nothing_through_says_so():
    async def act(stage):
        await stage.press("m", *"stagex")
        assert "nothing matches 'stagex': Backspace deletes it, Esc goes back" in stage.text
        await stage.press("enter", "backspace")
        assert "nothing here matches" not in stage.text
        assert "Enter chooses, Esc goes back" in stage.text
        assert stage.player.calls == []  # the Enter was for nothing
        await stage.press("enter")
        assert stage.player.calls == [("model", "stage")]

    on_stage(act)


def test_a_filter_before_the_list_is_there_says_nothing_yet():
    async def act(stage):
        may_end = threading.Event()
        models = stage.player.models
        stage.player.models = lambda: may_end.wait(30) and models()
        await stage.pilot.press("m", "q", "q")
        await stage.pilot.pause()
        assert "looking..." in stage.text
        may_end.set()
        await stage.settle()
        assert "nothing matches 'qq'" in stage.text

    on_stage(act)
