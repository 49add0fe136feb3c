"""Effects of keys and mouse on controls, in Textual's pilot."""

from __future__ import annotations

import pytest
from textual.events import MouseScrollUp

from rtsep.controls import MINUS_INFINITY_DB
from tests.surfaces.view.harness import find, with_view

# --- keys -----------------------------------------------------------------------------------------


def test_keys_turn_the_chosen_control_and_say_so():
    async def act(harness):
        controls = harness.controls
        await harness.press("right", "right", "shift+right")
        assert controls.threshold == pytest.approx(0.11)
        await harness.press("minus", "plus", "equals_sign")
        assert controls.threshold == pytest.approx(0.20)
        assert controls.moved_by("threshold") == "key"
        _, y = find(harness, "threshold")
        assert "0.20 key" in harness.lines[y]
        await harness.press("7")
        assert controls.threshold == pytest.approx(0.7)
        await harness.press("end", "right")
        assert controls.threshold == 1
        await harness.press("backspace")
        assert controls.threshold == 0
        await harness.press("down", "down", "down", "down", "left", "shift+left")
        assert controls.vocals_gain == pytest.approx(-1.1)
        await harness.press("home", "left")
        assert controls.vocals_gain == MINUS_INFINITY_DB
        assert "-inf dB" in harness.text
        await harness.press("up", "up", "up", "up", "up", "up", "space")  # around from the last one
        assert controls.bypass == 1

    with_view(act)


def test_comma_and_full_stop_turn_the_balance():
    async def act(harness):
        await harness.press("full_stop", "full_stop")
        assert harness.controls.balance == pytest.approx(0.6)
        assert harness.controls.moved_by("balance") == "key"
        await harness.press(*["comma"] * 12)
        assert harness.controls.balance == 0

    with_view(act)


def test_letters_switch():
    async def act(harness):
        for key, name in (("v", "vocals_mute"), ("V", "vocals_solo"), ("i", "instrumental_mute"),
                          ("I", "instrumental_solo"), ("b", "bypass"), ("k", "mask")):  # fmt: skip
            await harness.press(key)
            assert getattr(harness.controls, name) == 1
            assert harness.controls.moved_by(name) == "key"
            await harness.press(key)
            assert getattr(harness.controls, name) == 0

    with_view(act)


def test_keys_of_a_played_file():
    async def act(harness):
        await harness.press(">")
        assert "no file is played; choose one with --in" in harness.text and "4:05" not in harness.text
        place = {"position_s": 62.4, "length_s": 245.0, "paused": False, "loop_s": None}
        harness.player.overrides["file"] = place
        await harness.press("t", "<", ">", "a")
        calls = [("pause",), ("skip", "-5"), ("skip", "5"), ("loop",)]
        assert sorted(harness.player.calls[1:]) == sorted(calls)  # on threads: in any order
        await harness.play(0.3)
        assert "1:02/4:05" in harness.lines[0] and "a loop from 0:12 on" in harness.text
        harness.player.overrides["file"] = place | {"paused": True, "loop_s": [10, None], "length_s": 3605.0}
        await harness.play(0.3)
        assert "paused 1:02/1:00:05 loop 0:10-" in harness.lines[0]
        harness.player.calls.clear()
        await harness.press("[", "]", "(", ")")
        assert sorted(harness.player.calls) == sorted(
            [("key", "-1"), ("key", "1"), ("speed", "-0.05"), ("speed", "0.05")]
        )
        harness.player.overrides["file"] = place | {"speed": 0.8, "key": -2.0}
        await harness.play(0.3)
        assert "1:02/4:05 speed 80 %, key -2" in harness.lines[0]

    with_view(act, (120, 40))


def test_what_others_move_is_seen():
    async def act(harness):
        harness.controls.set("gate", 0.25, "MIDI")
        harness.controls.set("smoothing", 40, "command line")
        harness.controls.set("blend", 0.5, "API")
        await harness.play(0.1)
        for text in ("0.25 MIDI", "40 ms command", "0.50 API"):
            assert text in harness.text

    with_view(act)


def test_a_value_out_of_range_is_brought_back():
    async def act(harness):
        faders = harness.view.faders
        faders.set(faders.control, 7.0)
        assert harness.controls.threshold == 1
        faders.set(faders.control, float("nan"))
        await harness.settle()
        assert harness.controls.threshold == 1
        assert "out of range" in harness.text

    with_view(act)


# --- the mouse ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (130, 40)])
def test_a_bar_is_dragged_and_a_switch_clicked(size):
    async def act(harness):
        faders, pilot = harness.view.faders, harness.pilot
        left, width = faders._column_x(2) + faders._name_width, faders._bar_width
        await pilot.mouse_down(faders, offset=(left, faders._row(2)))
        assert faders.control.name == "gate"
        assert harness.controls.gate == 0
        await pilot.hover(faders, offset=(left + width // 2, faders._row(2)))
        assert harness.controls.gate == pytest.approx(round(width // 2 / (width - 1), 2), abs=0.006)
        await pilot.hover(faders, offset=(left + width + 3, faders._row(2) + 1))  # beyond the bar: held on to
        assert harness.controls.gate == 1
        await pilot.mouse_up(faders, offset=(left + width, faders._row(2) + 1))
        await pilot.hover(faders, offset=(left, faders._row(2)))
        assert harness.controls.gate == 1
        assert harness.controls.moved_by("gate") == "mouse"
        left = faders._column_x(6) + faders._name_width
        await pilot.click(faders, offset=(left + 2, faders._row(6)))
        assert harness.controls.vocals_mute == 1
        await harness.settle()
        assert "on mouse" in harness.text

    with_view(act, size)


def test_the_wheel_turns_what_lies_under_it():
    async def act(harness):
        x, y = find(harness, "smoothing")
        for _ in range(2):
            await harness.pilot._post_mouse_events([MouseScrollUp], harness.view.screen, (x + 3, y), button=0)
        assert harness.controls.smoothing == 10
        assert harness.view.faders.control.name == "smoothing"

    with_view(act)


def test_the_line_of_keys_takes_clicks():
    async def act(harness):
        await harness.pilot.click("#keys", offset=(find(harness, "r rec")[0], 0))
        await harness.settle()
        assert harness.player.calls == [("start_recording",)]

    with_view(act)
