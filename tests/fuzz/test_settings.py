"""Files that people write by hand, or that a power cut has left: TOML in all states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtsep.cli.layers import gather
from rtsep.cli.live import live_parser
from rtsep.cli.settings import Config, options_of, write_option
from rtsep.controls import TABLE, Controls
from rtsep.errors import OutputError, UsageError
from rtsep.surfaces.last_devices import load_last_devices
from rtsep.surfaces.last_state import load_last_state
from rtsep.surfaces.midi.map import load_map
from rtsep.surfaces.presets import Presets
from tests.fuzz.mutations import (
    assert_a_line,
    changed_bytes,
    changed_text,
    changed_values,
    in_order,
    many,
    promptly,
)

CONTROLS = [f"{control.name} = 0.5" for control in TABLE] + [f"{control.name}" for control in TABLE]

PRESETS = [
    """\
# for the chorus
program = 5

threshold = 0.4
mask = "binary"
vocals_gain = -6
""",
    'vocals_gain = "-6 dB"\ninstrumental_mute = true\nvocals_solo = false\n',
    "program = 127\nvocals_gain = -inf\nblend = 1\n",
]

MAPS = [
    """\
channel = 1
takeover = true
feedback = false
defaults = false

[threshold]
cc = 21
range = [0.1, 0.8]
curve = "dB"
invert = true
""",
    """\
[vocals_mute]
note = 40
mode = "momentary"
port = "pad"

[vocals_gain]
cc14 = 7
channel = "any"
""",
    """\
[[threshold]]
cc = 5
encoder = "offset"
step = 0.05

[[threshold]]
nrpn = 300
channel = 16
""",
]

CONFIGS = [
    """\
in = "Scarlett"
in_channels = [3, 4]
block = 128
midi = ["nanokontrol"]
vocals_gain = -6
""",
    """\
out = "both"
rate = 48000
slack = 2
resume = true
record = "takes"
subtype = "FLOAT"
model = "live"
""",
    """\
headless = true
limiter = false
preset = "chorus"
out_channels = "1,2"
seconds = 3.5
""",
]

DEVICES = [
    'in = "Scarlett 2i2"\nin_channels = [1, 2]\nout_device = "USB Audio"\nout_channels = [3]\n',
    'in = "last"\nout_device = "virtual"\n',
]


def texts(samples: list[str], words: list[str]) -> st.SearchStrategy[bytes]:
    """Return what the file may hold."""
    return st.one_of(
        changed_values(samples, "=", words).map(lambda text: text.encode("utf-8", "surrogatepass")),
        changed_text(samples, words).map(lambda text: text.encode("utf-8", "surrogatepass")),
        changed_bytes([sample.encode() for sample in samples]),
    )


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@many
@given(content=texts(PRESETS, CONTROLS))
def test_a_preset_is_read_or_refused_by_a_line(tmp_path, content):
    presets = Presets(tmp_path)
    written(tmp_path / "x.toml", content)
    with in_order(UsageError):
        presets.load("x").recall(Controls())
    found, broken = presets.load_all()
    assert len(found) + len(broken) == 1
    with in_order(UsageError):
        load_last_state(tmp_path / "x.toml").recall(Controls())


@many
@given(content=texts(MAPS, CONTROLS))
def test_a_map_is_read_or_refused_by_a_line(tmp_path, content):
    with in_order(UsageError):
        for entry in load_map(written(tmp_path / "midi.toml", content)).entries:
            assert entry.source and entry.manner


@pytest.fixture(scope="module")
def options() -> Any:
    return options_of(live_parser())


@many
@given(content=texts(CONFIGS, CONTROLS))
def test_settings_are_read_or_refused_by_a_line(tmp_path, options, content):
    with in_order(UsageError):
        config = Config(options, written(tmp_path / "rtsep.toml", content))
        for name, value in config.values.items():
            assert options[name].as_text(value) is not None and config.place(name)


@given(content=texts(CONFIGS, CONTROLS), name=st.sampled_from(("block", "in", "midi", "vocals_gain")))
def test_a_setting_is_written_into_any_file_or_refused_by_a_line(
    tmp_path, monkeypatch, options, content, name
):
    path = written(tmp_path / "rtsep.toml", content)
    monkeypatch.setenv("RTSEP_CONFIG", str(path))
    with in_order(UsageError, OutputError):
        write_option(options, name, ["64"])


@many
@given(content=texts(DEVICES, CONTROLS))
def test_devices_of_the_last_session_are_read_or_refused_by_a_line(tmp_path, options, content):
    with in_order(UsageError):
        found = load_last_devices(written(tmp_path / "devices.toml", content))
        for name, value in found.items():
            options[name].read(value)


@given(state=texts(PRESETS, CONTROLS), devices=texts(DEVICES, CONTROLS))
def test_a_session_starts_afresh_where_nothing_can_be_resumed(tmp_path, monkeypatch, state, devices):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "rtsep"
    folder.mkdir(exist_ok=True)
    written(folder / "last.toml", state)
    written(folder / "devices.toml", devices)
    said: list[str] = []
    with promptly():
        gather(live_parser(), ["--resume"], said.append).controls()  # raises nothing at all
    for line in said:
        assert_a_line(line)
