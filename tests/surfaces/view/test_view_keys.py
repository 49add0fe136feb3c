"""What keys and the mouse do to controls, in Textual's pilot."""

from __future__ import annotations

import pytest
from textual.events import MouseScrollUp

from rtsep.controls import MINUS_INFINITY_DB
from tests.surfaces.view.stage import find, on_stage

# --- keys -----------------------------------------------------------------------------------------


def test_keys_turn_the_chosen_control_and_say_so():
    async def act(stage):
        controls = stage.controls
        await stage.press("right", "right", "shift+right")
        assert controls.threshold == pytest.approx(0.11)
        await stage.press("minus", "plus", "equals_sign")
        assert controls.threshold == pytest.approx(0.20)
        assert controls.moved_by("threshold") == "key"
        _, y = find(stage, "threshold")
        assert "0.20 key" in stage.lines[y]
        await stage.press("7")
        assert controls.threshold == pytest.approx(0.7)
        await stage.press("end", "right")
        assert controls.threshold == 1
        await stage.press("backspace")
        assert controls.threshold == 0
        await stage.press("down", "down", "down", "down", "left", "shift+left")
        assert controls.vocals_gain == pytest.approx(-1.1)
        await stage.press("home", "left")
        assert controls.vocals_gain == MINUS_INFINITY_DB
        assert "-inf dB" in stage.text
        await stage.press("up", "up", "up", "up", "up", "up", "space")  # around from the last one
        assert controls.bypass == 1

    on_stage(act)


def test_comma_and_full_stop_turn_the_balance():
    async def act(stage):
        await stage.press("full_stop", "full_stop")
        assert stage.controls.balance == pytest.approx(0.6)
        assert stage.controls.moved_by("balance") == "key"
        await stage.press(*["comma"] * 12)
        assert stage.controls.balance == 0

    on_stage(act)


def test_letters_switch():
    async def act(stage):
        for key, name in (("v", "vocals_mute"), ("V", "vocals_solo"), ("i", "instrumental_mute"),
                          ("I", "instrumental_solo"), ("b", "bypass"), ("k", "mask")):  # fmt: skip
            await stage.press(key)
            assert getattr(stage.controls, name) == 1
            assert stage.controls.moved_by(name) == "key"
            await stage.press(key)
            assert getattr(stage.controls, name) == 0

    on_stage(act)


def test_keys_of_a_played_file():
    async def act(stage):
        await stage.press(">")
        assert "no file is played; choose one with --in" in stage.text and "4:05" not in stage.text
        place = {"position_s": 62.4, "length_s": 245.0, "paused": False, "loop_s": None}
        stage.player.overrides["file"] = place
        await stage.press("t", "<", ">", "a")
        calls = [("pause",), ("skip", "-5"), ("skip", "5"), ("loop",)]
        assert sorted(stage.player.calls[1:]) == sorted(calls)  # on threads: in any order
        await stage.play(0.3)
        assert "1:02/4:05" in stage.lines[0] and "a loop from 0:12 on" in stage.text
        stage.player.overrides["file"] = place | {"paused": True, "loop_s": [10, None], "length_s": 3605.0}
        await stage.play(0.3)
        assert "paused 1:02/1:00:05 loop 0:10-" in stage.lines[0]
        stage.player.calls.clear()
        await stage.press("[", "]", "(", ")")
        assert sorted(stage.player.calls) == sorted(
            [("key", "-1"), ("key", "1"), ("speed", "-0.05"), ("speed", "0.05")]
        )
        stage.player.overrides["file"] = place | {"speed": 0.8, "key": -2.0}
        await stage.play(0.3)
        assert "1:02/4:05 speed 80 %, key -2" in stage.lines[0]

    on_stage(act, (120, 40))


def test_what_others_move_is_seen():
    async def act(stage):
        stage.controls.set("gate", 0.25, "MIDI")
        stage.controls.set("smoothing", 40, "command line")
        stage.controls.set("blend", 0.5, "API")
        await stage.play(0.1)
        for text in ("0.25 MIDI", "40 ms command", "0.50 API"):
            assert text in stage.text

    on_stage(act)


def test_a_value_out_of_range_is_brought_back():
    async def act(stage):
        faders = stage.view.faders
        faders.set(faders.control, 7.0)
        assert stage.controls.threshold == 1
        faders.set(faders.control, float("nan"))
        await stage.settle()
        assert stage.controls.threshold == 1
        assert "out of range" in stage.text

    on_stage(act)


# --- the mouse ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (130, 40)])
def test_a_bar_is_dragged_and_a_switch_clicked(size):
    async def act(stage):
        faders, pilot = stage.view.faders, stage.pilot
        left, width = faders._column_x(2) + faders._name_width, faders._bar_width
        await pilot.mouse_down(faders, offset=(left, faders._row(2)))
        assert faders.control.name == "gate"
        assert stage.controls.gate == 0
        await pilot.hover(faders, offset=(left + width // 2, faders._row(2)))
        assert stage.controls.gate == pytest.approx(round(width // 2 / (width - 1), 2), abs=0.006)
        await pilot.hover(faders, offset=(left + width + 3, faders._row(2) + 1))  # beyond the bar: held on to
        assert stage.controls.gate == 1
        await pilot.mouse_up(faders, offset=(left + width, faders._row(2) + 1))
        await pilot.hover(faders, offset=(left, faders._row(2)))
        assert stage.controls.gate == 1
        assert stage.controls.moved_by("gate") == "mouse"
        left = faders._column_x(6) + faders._name_width
        await pilot.click(faders, offset=(left + 2, faders._row(6)))
        assert stage.controls.vocals_mute == 1
        await stage.settle()
        assert "on mouse" in stage.text

    on_stage(act, size)


def test_the_wheel_turns_what_lies_under_it():
    async def act(stage):
        x, y = find(stage, "smoothing")
        for _ in range(2):
            await stage.pilot._post_mouse_events([MouseScrollUp], stage.view.screen, (x + 3, y), button=0)
        assert stage.controls.smoothing == 10
        assert stage.view.faders.control.name == "smoothing"

    on_stage(act)


def test_the_line_of_keys_takes_clicks():
    async def act(stage):
        await stage.pilot.click("#keys", offset=(find(stage, "r rec")[0], 0))
        await stage.settle()
        assert stage.player.calls == [("start_recording",)]

    on_stage(act)
