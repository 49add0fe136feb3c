"""A list over the picture as it closes, in Textual's pilot: what is typed meanwhile, Escape, filters."""

from __future__ import annotations

import threading
import time

import pytest
from textual.drivers import linux_driver
from textual.events import Key

from rtsep.surfaces.view.pickers import Picker
from tests import waiting
from tests.surfaces.view.harness import with_view


def typed(view, *pieces: str) -> list[Key]:
    """Return the keys that the view's driver makes of what a terminal sends, piece by piece."""
    view.get_driver_class()
    parser = linux_driver.XTermParser()
    keys = [key for piece in pieces for key in parser.feed(piece)]
    waiting.until(lambda: keys.extend(parser.tick()) or parser._timeout_time is None)
    return [key for key in keys if isinstance(key, Key)]


async def until_closed(harness) -> None:
    """Wait until no list lies over the picture; no frame is drawn."""
    over = time.monotonic() + waiting.PATIENCE_S
    while isinstance(harness.view.screen, Picker):
        assert time.monotonic() < over
        await harness.pilot.pause(0.02)


def test_a_key_behind_escape_goes_nowhere_while_the_list_closes():
    async def act(harness):
        await harness.press("p")
        for key in ("escape", "v", "r"):
            harness.view.post_message(Key(key, key if len(key) == 1 else None))
        await harness.pilot.pause()
        assert not isinstance(harness.view.screen, Picker)
        assert harness.controls.vocals_mute == 0 and harness.controls.bypass == 0
        assert harness.player.calls == []
        await harness.settle()
        await harness.press("v")
        assert harness.controls.vocals_mute == 1

    with_view(act)


def test_what_is_typed_while_a_pick_works_goes_nowhere():
    async def act(harness):
        may_end = threading.Event()
        harness.player.switch_model = lambda name: may_end.wait(30)
        await harness.press("m")
        await harness.pilot.press("enter")
        await harness.pilot.pause()
        assert "one moment..." in harness.text
        await harness.pilot.press("v", "x", "backspace")
        assert "v" not in harness.view.screen.query_one("Input").value
        assert "one moment..." in harness.text
        may_end.set()
        await until_closed(harness)
        await harness.pilot.press("v")  # the picture has not been drawn since
        assert harness.controls.vocals_mute == 0
        await harness.settle()
        await harness.press("v")
        assert harness.controls.vocals_mute == 1

    with_view(act)


@pytest.mark.parametrize("pieces", [("\x1bb",), ("\x1b", "b")], ids=["at once", "fast"])
def test_escape_and_a_letter_are_two_keys(pieces):
    async def act(harness):
        for key in typed(harness.view, *pieces):  # over ssh, say: Textual takes it for ctrl+left
            harness.view.post_message(key)
        await harness.settle()
        assert harness.controls.bypass == 1
        await harness.press("m")
        for key in typed(harness.view, "\x1bv"):
            harness.view.post_message(key)
        await harness.settle()
        assert not isinstance(harness.view.screen, Picker)  # Escape was pressed
        assert harness.controls.vocals_mute == 0  # while it closed

    with_view(act)


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
    async def act(harness):
        assert [key.key for key in typed(harness.view, sent)] == keys
        assert [key.key for key in typed(harness.view, *sent)] == keys

    with_view(act)


def test_a_filter_that_lets_nothing_through_says_so():
    async def act(harness):
        await harness.press("m", *"stagex")
        assert "nothing matches 'stagex': Backspace deletes it, Esc goes back" in harness.text
        await harness.press("enter", "backspace")
        assert "nothing here matches" not in harness.text
        assert "Enter chooses, Esc goes back" in harness.text
        assert harness.player.calls == []  # the Enter was for nothing
        await harness.press("enter")
        assert harness.player.calls == [("model", "stage")]

    with_view(act)


def test_a_filter_before_the_list_is_there_says_nothing_yet():
    async def act(harness):
        may_end = threading.Event()
        models = harness.player.models
        harness.player.models = lambda: may_end.wait(30) and models()
        await harness.pilot.press("m", "q", "q")
        await harness.pilot.pause()
        assert "looking..." in harness.text
        may_end.set()
        await harness.settle()
        assert "nothing matches 'qq'" in harness.text

    with_view(act)
