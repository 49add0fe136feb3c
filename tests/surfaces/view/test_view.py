"""The view in Textual's pilot: what can be read at which size, what keys and mouse do to controls."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest
from textual.events import CursorPosition, Key, MouseScrollUp

from rtsep.controls import MINUS_INFINITY_DB, TABLE
from rtsep.surfaces.view.palette import Depth
from rtsep.surfaces.view.pickers import Page, Picker
from rtsep.surfaces.view.spectrogram import KEPT
from tests.surfaces.view.stage import Stage, on_stage

ESSENTIALS = (
    "Scarlett 2i2 USB -> Scarlett", "playing", "not recording",  # where, whether
    "input", "vocals ", "instrumental", "peak", "rms",
    "p50", "p99", "5.80 ms", "late 0", "xruns 0", "underruns 0", "overruns 0",
    "11.6+2.9+5.8=20.3 ms", "drift +12", "model live ready", "restarts 0", "real-time",
    "? help", "r rec", "p preset", "m model", "d device", "q quit",
)  # fmt: skip


def find(stage: Stage, text: str) -> tuple[int, int]:
    """Return column and line of `text` on the screen."""
    for y, line in enumerate(stage.lines):
        if text in line:
            return line.index(text), y
    raise AssertionError(f"'{text}' is not on the screen:\n{stage.text}")


# --- what can be read -----------------------------------------------------------------------------


@pytest.mark.parametrize("depth", Depth)
def test_80x24_shows_all_that_one_needs(depth):
    async def act(stage):
        await stage.play(1.0)
        for text in ESSENTIALS:
            assert text in stage.text, stage.text
        for control in TABLE:
            assert control.name.replace("_", " ").replace("instrumental", "instr") in stage.text
        assert [len(line) for line in stage.lines] == [80] * 24

    on_stage(act, depth=depth)


@pytest.mark.parametrize("size", [(20, 6), (60, 20), (81, 25), (104, 24), (132, 34), (200, 60), (300, 24)])
def test_any_size_is_filled_and_none_breaks(size):
    async def act(stage):
        await stage.play(0.5)
        assert [len(line) for line in stage.lines] == [size[0]] * size[1]
        assert "playing" in stage.text
        if size[0] >= 160:
            assert "instrumental gain" in stage.text

    on_stage(act, size)


def test_a_resized_terminal_shows_the_same_past_at_once():
    async def act(stage):
        await stage.play(2.0)
        await stage.pilot.resize_terminal(130, 40)
        await stage.settle()
        spectrogram = stage.view.spectrogram
        assert spectrogram.size.height > 20
        drawn = [
            sum(segment.text != " " or bool(segment.style.bgcolor) for segment in row)
            for row in spectrogram._rows
        ]
        assert min(drawn) > 20
        assert len(stage.lines) == 40
        await stage.pilot.resize_terminal(80, 24)
        await stage.settle()
        assert "late 0" in stage.text
        assert [len(line) for line in stage.lines] == [80] * 24

    on_stage(act)


def test_troubles_are_told():
    async def act(stage):
        stage.player.overrides = {"late_masks": 3, "device_xruns": 2, "drift_ppm": None, "real_time": False}
        stage.player.ready = False
        stage.player.state = "waiting"
        await stage.play(0.5)
        for text in ("late 3", "xruns 2", "drift -", "down: dry", "no real-time", "waiting"):
            assert text in stage.text, stage.text

    on_stage(act, (100, 30))


def test_meters_hold_peaks_and_keep_the_clip_mark_until_it_is_taken_away():
    async def act(stage):
        meter = stage.view.meters.meters["vocals"]
        stage.view.meters.follow({f: {"peak": 1.2, "rms": 0.5} for f in stage.view.meters.meters}, 0.03)
        await stage.pilot.pause()
        assert stage.text.count("CLIP") == 3
        for _ in range(10):
            stage.view.meters.follow({f: {"peak": 0.1, "rms": 0.05} for f in stage.view.meters.meters}, 0.1)
        assert meter.held_db == pytest.approx(1.58, abs=0.01)
        for _ in range(20):
            stage.view.meters.follow({f: {"peak": 0.1, "rms": 0.05} for f in stage.view.meters.meters}, 0.1)
        assert meter.held_db == pytest.approx(-20, abs=0.01)
        await stage.press("c")
        assert "CLIP" not in stage.text

    on_stage(act)


def test_the_spectrogram_scrolls_and_takes_the_colour_of_what_is_parted():
    async def act(stage):
        spectrogram = stage.view.spectrogram
        await stage.play(2.0)
        level, share = spectrogram._level.copy(), spectrogram._share
        await stage.play(1.0)
        moved = [n for n in range(10, 20) if np.array_equal(spectrogram._level[:, :-n], level[:, n:])]
        assert 14 in moved or 15 in moved or 16 in moved  # columns in a second
        heard = share[:, KEPT - 20 :][spectrogram._level[:, KEPT - 20 :] > -40]
        assert (heard > 0.8).sum() > 50  # the voice
        assert (heard < 0.2).sum() > 50  # the band
        stage.controls.bypass = 1
        await stage.play(0.2)
        assert not spectrogram._parted[-1]
        assert spectrogram._parted[-10]

    on_stage(act)


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
        await stage.press("up", "up", "up", "up", "up", "space")  # around to the last one
        assert controls.bypass == 1

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
        assert "Enter again replaces it" in stage.text
        await stage.press("enter")
        assert stage.player.calls[1:] == [("save", "verse")]

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
        assert "Enter picks" in stage.text  # a name is all it takes

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
            stage.view.say(f"line {number}: the device has gone")
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
        line = "recording stopped: " + "/a/folder/far/away" * 4 + "; make room, or choose another folder"
        stage.view.say(line)
        await stage.play(0.1)
        assert stage.lines[-2].rstrip().endswith("… (l shows it whole)")
        await stage.press("l")
        said = "".join(row.strip("│ ") + " " for row in stage.lines)
        assert "make room, or choose another folder" in re.sub(r"\s+", " ", re.sub("[│▀▄]", " ", said))

    on_stage(act)


def test_the_help_names_keys_and_controls():
    async def act(stage):
        await stage.press("question_mark")
        for text in ("Backspace", "record, and stop", "where the mask decides", "any other key goes back"):
            assert text in stage.text
        await stage.press("end")
        for text in ("overruns", "real-time", "drift"):  # what the figures say, to the last one
            assert f" {text} " in stage.text
        await stage.press("escape")
        assert "Backspace" not in stage.text

    on_stage(act)


# --- frames and the end ---------------------------------------------------------------------------


def test_frames_that_a_slow_terminal_cannot_take_are_dropped():
    async def act(stage):
        pace = stage.view.pace
        pace.wants_to_ask(stage.now)
        pace.answer()
        pace.wants_to_ask(stage.now)  # and no answer
        await stage.play(1.0)
        frames = stage.view._frames
        stage.controls.set("gate", 0.45, "MIDI")
        await stage.play(1.0)
        assert stage.view._frames == frames
        assert pace.dropped > 30
        assert "0.45" not in stage.text
        stage.view.post_message(CursorPosition(0, 0))
        await stage.pilot.pause()
        await stage.play(0.1)
        assert "0.45 MIDI" in stage.text

    on_stage(act)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_quitting_ends_the_session_first(key):
    async def act(stage):
        stage.view._by_time = True  # else the stage's own end is at once
        await stage.pilot.press(key)
        await stage.pilot.pause()
        assert stage.player.ended
        assert "ending" in stage.text
        assert stage.view._exit is False
        stage.view.frame()
        assert stage.view._exit

    on_stage(act)


def test_only_what_has_changed_is_drawn():
    async def act(stage):
        drawn = []
        stage.view._display = lambda screen, update: drawn.append(update)
        stage.player.stats = (lambda stats: lambda: stats)(stage.player.stats())
        stage.player.newest = lambda: None
        await stage.play(12.0)  # peaks have fallen, the spectrogram is empty, the histogram old
        drawn.clear()
        stage.view.frame()
        await asyncio.sleep(0.05)
        assert [update for update in drawn if update] == []
        stage.controls.set("gate", 0.5)
        stage.view.frame()
        await asyncio.sleep(0.05)
        (update,) = (update for update in drawn if update)
        assert {y for y, _, _ in update.spans} == {find(stage, "gate")[1]}

    on_stage(act)
