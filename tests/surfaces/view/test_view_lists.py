"""Recording, lists of presets, models and devices, and lines for the user, in Textual's pilot."""

from __future__ import annotations

import re
import threading

from textual.events import Key

from rtsep.surfaces.view.pickers import Page, Picker
from tests import waiting
from tests.surfaces.view.stage import on_stage

# --- recording, lists, lines ----------------------------------------------------------------------


def test_the_record_key_begins_and_ends_a_take():
    async def act(stage):
        await stage.press("r")
        await stage.play(0.3)
        stage.player.recording["seconds"] = 3725.0
        await stage.play(0.3)
        assert "● REC 1:02:05" in stage.text
        assert "recording to takes" in stage.text
        await stage.press("r")
        await stage.play(0.3)
        assert stage.player.calls == [("start_recording",), ("stop_recording",)]
        assert "not recording" in stage.text
        assert "recorded takes/vocals.wav" in stage.text
        stage.player.recording = {"failure": "the disk is full", "seconds": 1.0, "lost_frames": 0}
        await stage.play(0.3)
        assert "recording stopped" in stage.text

    on_stage(act)


def test_a_preset_is_found_by_a_few_letters_and_recalled():
    async def act(stage):
        await stage.press("p")
        assert isinstance(stage.view.screen, Picker)
        assert "chorus" in stage.text and "program 0" in stage.text
        assert "night.toml, line 3: blend 2: out of range" in stage.text  # one that is broken is named
        await stage.press("q", "u", "i")
        assert "quiet room" in stage.text and "chorus" not in stage.text
        await stage.press("enter")
        assert stage.player.calls == [("recall", "quiet room")]
        assert not isinstance(stage.view.screen, Picker)
        assert "0.25 preset" in stage.text
        assert stage.controls.vocals_mute == 0  # the letters were the list's, not the view's

    on_stage(act)


def test_a_preset_is_saved_under_a_new_name_at_once_and_over_another_after_asking():
    async def act(stage):
        await stage.press("s", "s", "o", "l", "o", "enter")
        assert stage.player.calls == [("save", "solo")]
        await stage.press("s", "v", "e", "r", "s", "e", "enter")
        assert len(stage.player.calls) == 1
        assert "press Enter again to replace it" in stage.text
        await stage.press("enter")
        assert stage.player.calls[1:] == [("save", "verse")]

    on_stage(act)


def slow_presets(player) -> threading.Event:
    """Let `player` find its presets only once the event is set."""
    may_end, presets = threading.Event(), player.presets
    player.presets = lambda: may_end.wait(waiting.PATIENCE_S) and presets()
    return may_end


def test_an_enter_before_the_list_is_there_is_done_as_soon_as_it_is():
    async def act(stage):
        may_end = slow_presets(stage.player)
        await stage.pilot.press("p", *"quiet", "enter")
        assert stage.player.calls == []
        may_end.set()
        await stage.settle()
        assert stage.player.calls == [("recall", "quiet room")]

    on_stage(act)


def test_a_name_is_not_replaced_before_it_is_known_that_it_is_there():
    async def act(stage):
        may_end = slow_presets(stage.player)
        await stage.pilot.press("s", *"verse", "enter")
        await stage.pilot.pause()
        may_end.set()
        await stage.settle()
        assert stage.player.calls == []
        assert "press Enter again to replace it" in stage.text
        await stage.press("enter")
        assert stage.player.calls == [("save", "verse")]

    on_stage(act)


def test_an_enter_meets_the_list_and_its_hint_at_once():
    """It is looked up on a thread; an Enter between the two would be lost."""

    async def act(stage):
        call = stage.view.call_from_thread

        def between(function, *arguments):
            call(stage.view.screen._enter)
            return call(function, *arguments)

        stage.view.call_from_thread = between
        await stage.press("p")
        await stage.settle()
        assert stage.player.calls == [("recall", "chorus")]

    on_stage(act)


def test_a_model_that_is_refused_leaves_the_list_open_with_the_reason():
    async def act(stage):
        await stage.press("m", "enter")
        assert "live: plays already" in stage.text
        assert isinstance(stage.view.screen, Picker)
        await stage.press("down", "enter")
        assert stage.player.calls == [("model", "live"), ("model", "stage")]
        assert not isinstance(stage.view.screen, Picker)

    on_stage(act)


def test_a_list_of_nothing_says_what_fills_it():
    async def act(stage):
        stage.player.presets = list
        await stage.press("p")
        assert "there are no presets yet: s saves one; Esc goes back" in stage.text
        await stage.press("enter", "escape", "s")
        assert "Enter chooses" in stage.text  # a name is all it takes

    on_stage(act)


def test_what_should_not_have_happened_is_told_and_blocks_nothing():
    async def act(stage):
        def fail(*_):
            raise ValueError("of all things")

        stage.player.switch_model = fail
        await stage.press("m", "enter")
        assert "ValueError: of all things" in stage.text
        await stage.press("enter", "escape")
        stage.player.models = fail
        await stage.press("m")
        assert "ValueError: of all things" in stage.text
        await stage.press("escape")
        stage.player.start_recording = fail
        await stage.press("r")
        assert "ValueError: of all things" in stage.lines[-2]
        del stage.player.start_recording
        await stage.press("r")
        assert "recording to takes" in stage.text

    on_stage(act)


def test_a_name_can_be_typed_before_its_list_has_opened():
    async def act(stage):
        for key in "ssolo":
            stage.view.post_message(Key(key, key))
        stage.view.post_message(Key("enter", None))
        await stage.settle()
        await stage.settle()
        assert stage.player.calls == [("save", "solo")]
        assert stage.controls.vocals_mute == 0 and stage.player.recording is None

    on_stage(act)


def test_inputs_and_outputs_are_picked():
    async def act(stage):
        await stage.press("d")
        assert "What was plugged in since is not listed" in stage.text
        await stage.press("escape")
        await stage.press("d", *"built", "enter")
        await stage.press("d", *"output", "enter")
        assert stage.player.calls == [
            ("device", "Built-in Microphone", "None"),
            ("device", "None", "Scarlett 2i2 USB"),
        ]
        assert "is busy; close what plays on it" in stage.text
        await stage.press("escape")
        assert not isinstance(stage.view.screen, Picker)

    on_stage(act)


def test_the_picture_moves_on_under_a_list():
    async def act(stage):
        await stage.press("p")
        stage.controls.set("gate", 0.15, "MIDI")
        await stage.play(0.3)
        assert "0.15 MIDI" in stage.text

    on_stage(act, (80, 40))


def test_lines_are_shown_and_kept():
    async def act(stage):
        for number in range(40):
            stage.view.show_line(f"line {number}: the device has gone")
        await stage.play(0.1)
        assert "line 39" in stage.text and "line 37" not in stage.text
        await stage.press("l")
        assert isinstance(stage.view.screen, Page)
        assert "line 37" in stage.text and "line 2:" not in stage.text
        await stage.press("home")
        assert "line 2:" in stage.text
        await stage.press("x")
        assert not isinstance(stage.view.screen, Page)

    on_stage(act)


def test_a_line_that_is_too_long_says_so():
    async def act(stage):
        line = (
            "recording stopped: " + "/a/folder/far/away" * 4 + "; free some space, or choose another folder"
        )
        stage.view.show_line(line)
        await stage.play(0.1)
        assert stage.lines[-2].rstrip().endswith("… (l shows it whole)")
        await stage.press("l")
        said = "".join(row.strip("│ ") + " " for row in stage.lines)
        assert "free some space, or choose another folder" in re.sub(r"\s+", " ", re.sub("[│▀▄]", " ", said))

    on_stage(act)


def test_the_help_names_keys_and_controls():
    async def act(stage):
        await stage.press("question_mark")
        for text in ("Backspace", "start or stop a recording", "counts as voice", "any other key goes back"):
            assert text in stage.text
        await stage.press("end")
        for text in ("overruns", "real-time", "drift"):  # what the figures say, to the last one
            assert f" {text} " in stage.text
        await stage.press("escape")
        assert "Backspace" not in stage.text

    on_stage(act)
