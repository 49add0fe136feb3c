"""`rtsep.toml`: lasting defaults of `live`, with the layer of each value."""

from __future__ import annotations

import json
import os
import stat
import sys
import tomllib
from pathlib import Path

import pytest

from rtsep.cli.layers import BUILT_IN, COMMAND_LINE, FILE, PRESET, RESUME, Layers, gather
from rtsep.cli.live import live_parser
from rtsep.cli.main import main
from rtsep.cli.settings import Config, config_file, options_of
from rtsep.errors import ModelError, OutputError, UsageError
from rtsep.surfaces.last_devices import devices_file, load_last_devices
from rtsep.surfaces.last_state import load_last_state, state_file
from rtsep.surfaces.presets import Preset, Presets
from tests.cli.program import Outcome, assert_refused, rtsep, rtsep_here
from tests.models import make_model

PLAYED = ("live", "--in", "demo", "--seconds", "0.3", "--json")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A user who has set up nothing yet."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("RTSEP_CONFIG", raising=False)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def ran(capfd, *words: str) -> Outcome:
    code = main(words)
    out, said = capfd.readouterr()
    return Outcome(code, out.splitlines(), said.splitlines())


def config(capfd, *words: str) -> Outcome:
    return ran(capfd, "config", *words)


def layers(*words: str) -> Layers:
    return gather(live_parser(), words, lambda line: None)


def test_every_option_of_live_can_be_set():
    settings = options_of(live_parser())
    flags = {flag for action in live_parser()._actions for flag in action.option_strings}
    assert {setting.flag for setting in settings.values()} <= flags
    hidden = {"-h", "--help", "--device"} | {flag for flag in flags if flag.startswith("--no-")}
    assert {flag.removeprefix("--").replace("-", "_") for flag in flags - hidden} == set(settings)


def test_what_is_set_is_played_with(tmp_path, capfd):
    config(capfd, "set", "block", "128")
    config(capfd, "set", "out-device", "virtual")
    config(capfd, "set", "threshold", "0.25")
    final = rtsep(*PLAYED).json[-1]
    assert final["block"] == 128
    assert load_last_state().values["threshold"] == 0.25
    stage = rtsep(*PLAYED, "--block", "64", "--session", "stage", "--threshold", "0.5")
    assert stage.json[-1]["block"] == 64
    assert load_last_state(state_file("stage")).values["threshold"] == 0.5
    assert load_last_devices(devices_file("stage")) == {"out_device": "virtual"}
    assert load_last_state().values["threshold"] == 0.25  # of the session before


def test_comments_and_order_stay(capfd):
    path = write(config_file(), "# mine\nblock = 256  # small\n\nrate = 48000 # fixed\n")
    assert config(capfd, "set", "block", "512").code == 0
    assert config(capfd, "set", "midi", "pad", "two").code == 0
    assert path.read_text() == '# mine\nblock = 512  # small\n\nrate = 48000 # fixed\nmidi = ["pad", "two"]\n'
    assert config(capfd, "unset", "midi", "rate").code == 0
    assert path.read_text() == "# mine\nblock = 512  # small\n\n"


@pytest.mark.parametrize(
    ("name", "words", "value", "read"),
    [
        ("in_channels", ["3,4"], [3, 4], (3, 4)),
        ("in_channels", ["3", "4"], [3, 4], (3, 4)),
        ("out-device", ["USB, one"], "USB, one", "USB, one"),
        ("resume", ["on"], True, True),
        ("connect", ["false"], False, False),
        ("seconds", ["2.5"], 2.5, 2.5),
        ("vocals_gain", ["-6dB"], -6, -6.0),
        ("vocals_mute", ["on"], True, 1.0),
        ("mask", ["binary"], "binary", 1.0),
        ("record", ["takes"], "takes", Path("takes")),
        ("midi", ["pad"], ["pad"], ["pad"]),
    ],
)  # fmt: skip
def test_values_are_of_the_kind_that_the_option_has(capfd, name, words, value, read):
    assert config(capfd, "set", name, *words).code == 0
    (written,) = tomllib.loads(config_file().read_text()).values()
    assert written == value
    (found,) = Config(options_of(live_parser())).values.values()
    assert found == read


@pytest.mark.parametrize("name", ["record", "map"])
def test_a_tilde_in_the_file_is_the_home_folder(home, monkeypatch, name):
    monkeypatch.setenv("HOME", str(home))
    write(config_file(), f'{name} = "~/x"\n')
    assert Config(options_of(live_parser())).values == {name: home / "x"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('record = ""\n', ("line 1", "record an empty path")),
        ("rate = 48000\nblok = 3\n", ("line 2", "'blok'", "did you mean 'block'?")),
        ("block = 3\n", ("line 1", "16 to 8192")),
        ("block = true\n", ("line 1", "block true")),
        ('\n\nout = "drums"\n', ("line 3", "vocals")),
        ('out = "vocal"\n', ("did you mean 'vocals'?",)),
        ('resume = "yes"\n', ("line 1", "true or false")),
        ("threshold = 1.5\n", ("line 1", "0 to 1")),
        ("vocals_gain = [1]\n", ("line 1", "dB")),
        ('in_channels = "left"\n', ("line 1", "1,2 or 3-6")),
        ('"out-device" = "x"\n', ("line 1", "out_device")),
        ("[live]\nblock = 3\n", ("line 1", "'live'")),
        ("block = \n", ("line 1", "not valid TOML")),
        ('midi = [""]\n', ("line 1", "midi")),
        ('session = "a/b"\n', ("line 1", "session 'a/b'", "1 to 32 letters")),
        ('osc = "foo"\n', ("line 1", "osc 'foo'", "HOST:PORT")),
        ('page = "wan"\n', ("line 1", "page 'wan'", "lan:8537")),
        ('preset = "none"\n', ("line 1", "no preset")),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line_with_its_place(capfd, text, parts):
    path = write(config_file(), text)
    outcome = ran(capfd, "live", "--in", "demo", "--out-device", "virtual")
    assert_refused(outcome, UsageError.exit_code, str(path), *parts)


@pytest.mark.parametrize(("name", "code"), [("model", ModelError.exit_code), ("map", UsageError.exit_code)])
def test_a_file_that_is_gone_is_one_line_with_its_place(capfd, tmp_path, name, code):
    path = write(config_file(), f'{name} = "{tmp_path / "gone.pt"}"\nmidi = ["pad"]\n')
    outcome = ran(capfd, "live", "--in", "demo", "--out-device", "virtual")
    assert_refused(outcome, code, f"{path}, line 1: {tmp_path / 'gone.pt'}: no such")


def test_a_file_is_written_with_its_whole_path(capfd, tmp_path, monkeypatch):
    make_model(tmp_path / "mine.pt", "half")
    (tmp_path / "mine.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    for name, value in (("model", "mine.pt"), ("map", "mine.toml")):
        assert config(capfd, "set", name, value).code == 0
    (told,) = config(capfd, "set", "model", "mine.pt").out
    assert told == f"model: {tmp_path / 'mine.pt'}; written to {config_file()}"
    assert tomllib.loads(config_file().read_text()) == {
        "model": str(tmp_path / "mine.pt"), "map": str(tmp_path / "mine.toml")
    }  # fmt: skip
    assert config(capfd, "set", "model", "stage").code == 0
    assert tomllib.loads(config_file().read_text())["model"] == "stage"


def test_a_value_beside_a_wrong_line_is_written_and_said_so(capfd):
    path = write(config_file(), "rate = 3\n")
    outcome = config(capfd, "set", "block", "64")
    assert outcome.code == UsageError.exit_code and "written to" in outcome.out[0]
    assert f"{path}, line 1" in outcome.said[0]
    assert tomllib.loads(path.read_text()) == {"rate": 3, "block": 64}


def test_a_wrong_name_can_be_taken_out(capfd):
    write(config_file(), "blok = 3\n")
    assert config(capfd, "unset", "blok").code == 0
    assert config(capfd).code == 0


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("set", "blok", "3"), ("did you mean 'block'?",)),
        (("set", "block", "3"), ("16 to 8192",)),
        (("set", "resume", "maybe"), ("true or false",)),
        (("set", "preset", "none"), ("no preset",)),
        (("set", "session", "a/b"), ("1 to 32 letters",)),
        (("set", "osc", "foo"), ("HOST:PORT",)),
        (("set", "page", "local:80"), ("1024 to 65535",)),
        (("unset", "blok"), ("did you mean 'block'?",)),
        (("--why", "blok"), ("did you mean 'block'?",)),
    ],
)
def test_what_is_not_accepted_is_not_written(capfd, words, parts):
    assert_refused(config(capfd, *words), UsageError.exit_code, *parts)
    assert not config_file().exists()


def test_the_first_layer_that_speaks_counts(capfd):
    write(config_file(), 'threshold = 0.1\nblock = 512\npreset = "hall"\n')
    Presets().save(Preset("hall", {"threshold": 0.2}))
    Presets().save(Preset("soft", {"gate": 0.3}))
    write(state_file(), "threshold = 0.4\ngate = 0.4\nblend = 0.4\n")
    everything = layers("--resume", "--threshold", "0.5")
    assert [each.layer for each in everything.of("threshold")] == [
        COMMAND_LINE, PRESET, RESUME, FILE, BUILT_IN,
    ]  # fmt: skip
    assert everything.controls().threshold == 0.5
    assert everything.controls().moved_by("threshold") == COMMAND_LINE
    assert layers("--resume").controls().threshold == 0.2
    soft = layers("--resume", "--preset", "soft")
    assert (soft.controls().threshold, soft.controls().gate, soft.controls().blend) == (0.4, 0.3, 0.4)
    assert layers("--preset", "soft").controls().threshold == 0.1
    assert layers().value("block") == 512
    assert layers("--block", "64").value("block") == 64


def test_why_names_the_layer_and_its_place(capfd):
    write(config_file(), "\nblock = 512\n")
    (first, second) = config(capfd, "--why", "block").out
    assert first == f"block: 512, from: rtsep.toml ({config_file()}, line 2)"
    assert "built in" in second
    (line,) = config(capfd, "--why", "block", "--block", "64", "--json").json
    assert line["value"] == 64
    assert [each["layer"] for each in line["layers"]] == [COMMAND_LINE, FILE, BUILT_IN]


def test_the_list_says_what_is_set(capfd):
    write(config_file(), "block = 512\n")
    (line,) = config(capfd, "--json").json
    assert line["path"] == str(config_file())
    assert line["settings"]["block"] == {"value": 512, "from": FILE}
    assert line["settings"]["model"] == {"value": "live", "from": BUILT_IN}
    assert config(capfd, "path").out == [str(config_file())]


def test_another_file_can_be_named_and_none(capfd, monkeypatch, tmp_path):
    write(config_file(), "block = 512\n")
    monkeypatch.setenv("RTSEP_CONFIG", str(write(tmp_path / "mine.toml", "block = 64\n")))
    assert layers().value("block") == 64
    monkeypatch.setenv("RTSEP_CONFIG", "")
    assert layers().value("block") is None


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_editor_is_opened_and_its_work_checked(capfd, monkeypatch, tmp_path):
    editor = write(tmp_path / "my editor", '#!/bin/sh\necho "block = $2" > "$3"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"'{editor}' -b 128")
    assert config(capfd, "edit").code == 0
    assert layers().value("block") == 128
    monkeypatch.setenv("EDITOR", f"'{editor}' -b 3")
    assert_refused(config(capfd, "edit"), UsageError.exit_code, "16 to 8192")
    monkeypatch.setenv("EDITOR", str(tmp_path / "none"))
    assert_refused(config(capfd, "edit"), OutputError.exit_code, "set EDITOR")


def test_the_devices_of_the_last_session_come_with_resume():
    write(devices_file(), 'in = "Scarlett"\nin_channels = [3, 4]\nout_device = "Speakers"\n')
    assert layers().value("in") == "mic"
    resumed = layers("--resume")
    assert (resumed.value("in"), resumed.value("in_channels")) == ("Scarlett", (3, 4))
    assert resumed.value("out_device") == "Speakers"
    other = layers("--resume", "--in", "demo")
    assert (other.value("in"), other.value("in_channels")) == ("demo", None)  # which are Scarlett's
    assert layers("--resume", "--in-channels", "1").value("in_channels") == (1,)


def test_each_session_resumes_its_own_state():
    write(state_file(), "threshold = 0.4\n")
    write(devices_file(), 'in = "Scarlett"\n')
    write(state_file("stage"), "threshold = 0.6\n")
    write(devices_file("stage"), 'in = "Desk"\n')
    for words, threshold, device in [((), 0.4, "Scarlett"), (("--session", "stage"), 0.6, "Desk")]:
        resumed = layers("--resume", *words)
        assert (resumed.controls().threshold, resumed.value("in")) == (threshold, device)
    write(config_file(), 'session = "stage"\nresume = true\n')
    assert layers().controls().threshold == 0.6
    said: list[str] = []
    gather(live_parser(), ["--resume", "--session", "new"], said.append)
    assert said == ["nothing to resume: no session 'new' has played here yet"]
    with pytest.raises(UsageError, match="a name must have"):
        layers("--resume", "--session", "../stage")


def test_the_devices_that_a_fallback_leaves_out_are_known():
    write(devices_file(), 'in = "Scarlett"\nout_device = "Speakers"\nout_channels = [3, 4]\n')
    resumed = layers("--resume")
    unused = {tuple(without): resumed.unused() for without in resumed.fallbacks()}
    assert unused[()] == {}
    assert unused["out_device",] == {"out_device": "Speakers", "out_channels": (3, 4)}
    assert unused["in", "out_device"].keys() == {"in", "out_device", "out_channels"}


def test_last_is_the_device_of_the_last_session():
    write(devices_file(), 'in = "Scarlett"\n')
    write(config_file(), 'in = "last"\nout_device = "last"\n')
    assert layers().value("in") == "Scarlett"
    assert layers().value("out_device") is None
    assert layers("--in", "demo").value("in") == "demo"
    assert layers("--out-device", "last").value("out_device") is None


def test_channels_in_the_file_are_those_of_its_device():
    write(config_file(), 'in = "Scarlett"\nin_channels = [3, 4]\nout_channels = [5, 6]\n')
    assert layers().value("in_channels") == (3, 4)
    assert layers("--in", "Other").value("in_channels") is None
    assert layers("--out-device", "Other").value("out_channels") == (5, 6)  # which name no device


def test_a_session_keeps_its_devices_and_one_that_is_gone_is_told():
    assert rtsep(*PLAYED, "--out-device", "virtual").code == 0
    assert devices_file().read_text() == 'out_device = "virtual"\n'
    write(devices_file(), 'out_device = "Gone with the wind"\nin = "Scarlett"\n')
    outcome = rtsep(*PLAYED, "--resume", RTSEP_CONFIG=os.devnull)
    assert outcome.code == 0
    assert json.loads(outcome.out[-1])["hops"] > 0
    (line,) = [line for line in outcome.said if "Gone with the wind" in line]
    assert "of the last session is not used" in line
    kept = {"out_device": "Gone with the wind", "in": "Scarlett"}  # a file is no device: the one before stays
    assert load_last_devices() == kept


def test_a_device_that_is_named_and_gone_is_refused():
    outcome = rtsep_here(*PLAYED, "--out-device", "Gone with the wind")
    assert outcome.code != 0
    assert "of the last session" not in "\n".join(outcome.said)
