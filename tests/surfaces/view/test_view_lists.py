"""Recording, lists of presets, models and devices, and lines for the user, in Textual's pilot."""

from __future__ import annotations

import re
import threading

from textual.events import Key

from rtsep.surfaces.view.pickers import Page, Picker
from tests import waiting
from tests.surfaces.view.harness import with_view

# --- recording, lists, lines ----------------------------------------------------------------------


def test_the_record_key_begins_and_ends_a_take():
    async def act(harness):
        await harness.press("r")
        await harness.play(0.3)
        harness.player.recording["seconds"] = 3725.0
        await harness.play(0.3)
        assert "● REC 1:02:05" in harness.text
        assert "recording to takes" in harness.text
        await harness.press("r")
        await harness.play(0.3)
        assert harness.player.calls == [("start_recording",), ("stop_recording",)]
        assert "not recording" in harness.text
        assert "recorded takes/vocals.wav" in harness.text
        harness.player.recording = {"failure": "the disk is full", "seconds": 1.0, "lost_frames": 0}
        await harness.play(0.3)
        assert "recording stopped" in harness.text

    with_view(act)


def test_a_preset_is_found_by_a_few_letters_and_recalled():
    async def act(harness):
        await harness.press("p")
        assert isinstance(harness.view.screen, Picker)
        assert "chorus" in harness.text and "program 0" in harness.text
        assert "night.toml, line 3: blend 2: out of range" in harness.text  # one that is broken is named
        await harness.press("q", "u", "i")
        assert "quiet room" in harness.text and "chorus" not in harness.text
        await harness.press("enter")
        assert harness.player.calls == [("recall", "quiet room")]
        assert not isinstance(harness.view.screen, Picker)
        assert "0.25 preset" in harness.text
        assert harness.controls.vocals_mute == 0  # the letters were the list's, not the view's

    with_view(act)


def test_a_preset_is_saved_under_a_new_name_at_once_and_over_another_after_asking():
    async def act(harness):
        await harness.press("s", "s", "o", "l", "o", "enter")
        assert harness.player.calls == [("save", "solo")]
        await harness.press("s", "v", "e", "r", "s", "e", "enter")
        assert len(harness.player.calls) == 1
        assert "press Enter again to replace it" in harness.text
        await harness.press("enter")
        assert harness.player.calls[1:] == [("save", "verse")]

    with_view(act)


def slow_presets(player) -> threading.Event:
    """Let `player` find its presets only once the event is set."""
    may_end, presets = threading.Event(), player.presets
    player.presets = lambda: may_end.wait(waiting.PATIENCE_S) and presets()
    return may_end


def test_an_enter_before_the_list_is_there_is_done_as_soon_as_it_is():
    async def act(harness):
        may_end = slow_presets(harness.player)
        await harness.pilot.press("p", *"quiet", "enter")
        assert harness.player.calls == []
        may_end.set()
        await harness.settle()
        assert harness.player.calls == [("recall", "quiet room")]

    with_view(act)


def test_a_name_is_not_replaced_before_it_is_known_that_it_is_there():
    async def act(harness):
        may_end = slow_presets(harness.player)
        await harness.pilot.press("s", *"verse", "enter")
        await harness.pilot.pause()
        may_end.set()
        await harness.settle()
        assert harness.player.calls == []
        assert "press Enter again to replace it" in harness.text
        await harness.press("enter")
        assert harness.player.calls == [("save", "verse")]

    with_view(act)


def test_an_enter_meets_the_list_and_its_hint_at_once():
    """It is looked up on a thread; an Enter between the two would be lost."""

    async def act(harness):
        call = harness.view.call_from_thread

        def between(function, *arguments):
            call(harness.view.screen._enter)
            return call(function, *arguments)

        harness.view.call_from_thread = between
        await harness.press("p")
        await harness.settle()
        assert harness.player.calls == [("recall", "chorus")]

    with_view(act)


def test_a_model_that_is_refused_leaves_the_list_open_with_the_reason():
    async def act(harness):
        await harness.press("m", "enter")
        assert "live: plays already" in harness.text
        assert isinstance(harness.view.screen, Picker)
        await harness.press("down", "enter")
        assert harness.player.calls == [("model", "live"), ("model", "stage")]
        assert not isinstance(harness.view.screen, Picker)

    with_view(act)


def test_a_list_of_nothing_says_what_fills_it():
    async def act(harness):
        harness.player.presets = list
        await harness.press("p")
        assert "there are no presets yet: s saves one; Esc goes back" in harness.text
        await harness.press("enter", "escape", "s")
        assert "Enter chooses" in harness.text  # a name is all it takes

    with_view(act)


def test_what_should_not_have_happened_is_told_and_blocks_nothing():
    async def act(harness):
        def fail(*_):
            raise ValueError("of all things")

        harness.player.switch_model = fail
        await harness.press("m", "enter")
        assert "ValueError: of all things" in harness.text
        await harness.press("enter", "escape")
        harness.player.models = fail
        await harness.press("m")
        assert "ValueError: of all things" in harness.text
        await harness.press("escape")
        harness.player.start_recording = fail
        await harness.press("r")
        assert "ValueError: of all things" in harness.lines[-2]
        del harness.player.start_recording
        await harness.press("r")
        assert "recording to takes" in harness.text

    with_view(act)


def test_a_name_can_be_typed_before_its_list_has_opened():
    async def act(harness):
        for key in "ssolo":
            harness.view.post_message(Key(key, key))
        harness.view.post_message(Key("enter", None))
        await harness.settle()
        await harness.settle()
        assert harness.player.calls == [("save", "solo")]
        assert harness.controls.vocals_mute == 0 and harness.player.recording is None

    with_view(act)


def test_inputs_and_outputs_are_picked():
    async def act(harness):
        await harness.press("d")
        assert "What was plugged in since is not listed" in harness.text
        await harness.press("escape")
        await harness.press("d", *"built", "enter")
        await harness.press("d", *"output", "enter")
        assert harness.player.calls == [
            ("device", "Built-in Microphone", "None"),
            ("device", "None", "Scarlett 2i2 USB"),
        ]
        assert "is busy; close what plays on it" in harness.text
        await harness.press("escape")
        assert not isinstance(harness.view.screen, Picker)

    with_view(act)


def test_the_picture_moves_on_under_a_list():
    async def act(harness):
        await harness.press("p")
        harness.controls.set("gate", 0.15, "MIDI")
        await harness.play(0.3)
        assert "0.15 MIDI" in harness.text

    with_view(act, (80, 40))


def test_lines_are_shown_and_kept():
    async def act(harness):
        for number in range(40):
            harness.view.show_line(f"line {number}: the device has gone")
        await harness.play(0.1)
        assert "line 39" in harness.text and "line 37" not in harness.text
        await harness.press("l")
        assert isinstance(harness.view.screen, Page)
        assert "line 37" in harness.text and "line 2:" not in harness.text
        await harness.press("home")
        assert "line 2:" in harness.text
        await harness.press("x")
        assert not isinstance(harness.view.screen, Page)

    with_view(act)


def test_a_line_that_is_too_long_says_so():
    async def act(harness):
        line = (
            "recording stopped: " + "/a/folder/far/away" * 4 + "; free some space, or choose another folder"
        )
        harness.view.show_line(line)
        await harness.play(0.1)
        assert harness.lines[-2].rstrip().endswith("… (l shows it whole)")
        await harness.press("l")
        said = "".join(row.strip("│ ") + " " for row in harness.lines)
        assert "free some space, or choose another folder" in re.sub(r"\s+", " ", re.sub("[│▀▄]", " ", said))

    with_view(act)


def test_the_help_names_keys_and_controls():
    async def act(harness):
        await harness.press("question_mark")
        for text in ("Backspace", "start or stop a recording", "counts as voice", "any other key goes back"):
            assert text in harness.text
        await harness.press("end")
        for text in ("overruns", "real-time", "drift"):  # what the figures say, to the last one
            assert f" {text} " in harness.text
        await harness.press("escape")
        assert "Backspace" not in harness.text

    with_view(act)
