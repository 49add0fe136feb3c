"""A map that is learned or written while it plays is at work at once."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from rtsep.cli.main import build_parser
from rtsep.cli.options import read_midi
from rtsep.controls import Controls
from rtsep.surfaces.midi import ports as ports_module
from rtsep.surfaces.midi.map import load_map, user_file
from rtsep.surfaces.midi.surface import MidiOptions, MidiSurface
from tests import waiting

PATIENCE_S = 60.0

TURNING = """
import json, time
def tell(**line):
    print(json.dumps(line), flush=True)
tell(kind="opened", key=0, name="pad:out", system="Jack", others=[])
tell(kind="scanned")
tell(kind="from", key=0, messages=[[0x90, 40, 100]])
while True:
    tell(kind="from", key=0, messages=[[0xB0, 20, 100], [0xB0, 21, 127]])
    time.sleep(0.02)
"""
"""A pad that is held, and two knobs that are turned, always there."""

FIRST = "[threshold]\ncc = 20\ntakeover = false\n[bypass]\nnote = 40\nmode = 'momentary'\n"


until = functools.partial(waiting.until, patience_s=PATIENCE_S)


@pytest.fixture
def played(tmp_path, monkeypatch):
    """Controls that a map turns, its file, and the lines that were said."""
    script = tmp_path / "process.py"
    script.write_text(TURNING)
    monkeypatch.setattr(ports_module, "_PROCESS", [sys.executable, str(script)])
    monkeypatch.setattr(ports_module, "START_PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr(ports_module, "HANG_PATIENCE_S", PATIENCE_S)
    path, controls, said = tmp_path / "midi.toml", Controls(), []
    path.write_text(FIRST)
    surface = MidiSurface(controls, MidiOptions(("pad",), load_map(path), path), said.append)
    surface.start()
    yield controls, path, said, surface
    surface.close()


def test_a_changed_map_is_played_by_and_what_was_held_is_let_go(played):
    controls, path, said, surface = played
    until(lambda: controls.threshold == 100 / 127 and controls.bypass, "the first map should turn")
    moves = surface.stats()["moves"]
    path.write_text("[gate]\ncc = 21\ntakeover = false\n")
    until(lambda: controls.gate == 1, "the second map should turn")
    assert not controls.bypass
    controls.threshold = 0.5
    events = surface.stats()["events"]
    until(lambda: surface.stats()["events"] > events + 10, "more of both knobs")
    assert controls.threshold == 0.5  # whose knob it was no more
    assert surface.stats()["moves"] > moves
    assert said[-1] == f"MIDI: the new map is in use ({path})"


def test_a_map_that_is_wrong_or_gone_leaves_the_old_one_at_work(played):
    controls, path, said, _ = played
    path.write_text("[treshold]\ncc = 20\n")
    until(
        lambda: any("line 1: no control is called 'treshold'" in line for line in said), "it should be told"
    )
    path.unlink()
    controls.threshold = 0.1
    until(lambda: controls.threshold == 100 / 127, "the old map should turn")
    path.write_text("[gate]\ncc = 21\ntakeover = false\n")
    until(lambda: controls.gate == 1, "the mended map should turn")
    assert sum("treshold" in line for line in said) == 1


@pytest.mark.parametrize("words", [[], ["--map", "mine.toml"]])
def test_live_follows_the_map_that_it_was_given_or_the_users(words, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(FIRST)
    options = read_midi(build_parser("live").parse_args(["live", "--midi", "pad", *words]))
    assert options.follow == (Path("mine.toml") if words else user_file())
