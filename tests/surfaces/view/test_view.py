"""The view in Textual's pilot: what can be read at which size, what is drawn, how it ends."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from textual.events import CursorPosition

from rtsep.controls import TABLE
from rtsep.surfaces.view.palette import Depth
from rtsep.surfaces.view.spectrogram import KEPT
from tests.surfaces.view.stage import find, on_stage

ESSENTIALS = (
    "Scarlett 2i2 USB -> Scarlett", "playing", "not recording",  # where, whether
    "input", "vocals ", "instrumental", "peak", "rms",
    "p50", "p99", "5.80 ms", "late 0", "xruns 0", "underruns 0", "overruns 0",
    "11.6+2.9+5.8=20.3 ms", "drift +12", "model live ready", "restarts 0", "real-time",
    "? help", "r rec", "p preset", "m model", "d device", "q quit",
)  # fmt: skip


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


@pytest.mark.parametrize(
    "size",
    [
        (0, 0),
        (1, 1),
        (1, 300),
        (300, 1),
        (20, 5),
        (400, 120),
        pytest.param((1000, 300), marks=pytest.mark.long),
    ],
)
def test_no_size_that_a_terminal_can_claim_ends_the_view(size):
    async def act(stage):
        await stage.play(0.5)
        await stage.press("question_mark", "escape", "m")
        await stage.pilot.resize_terminal(80, 24)
        await stage.play_until(lambda: "playing" in stage.text)

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
