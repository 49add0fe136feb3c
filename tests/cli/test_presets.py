"""`rtsep presets` as a user types it, and how `live` takes presets."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest

from rtsep.controls import Controls
from rtsep.errors import UsageError
from rtsep.realtime.wire import encode
from rtsep.surfaces.presets import Preset, Presets
from rtsep.surfaces.remote.messages import Hello, State, Value
from rtsep.surfaces.remote.place import claim, supported
from tests.cli.program import assert_refused, rtsep_here


@pytest.fixture
def home(tmp_path):
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}


def test_from_the_first_preset_to_the_last(home, tmp_path):
    empty = rtsep_here("presets", **home)
    assert (empty.code, empty.said) == (0, [])
    assert "no presets yet; 'rtsep presets save NAME --threshold 0.4' makes one" in empty.out

    file = tmp_path / "config" / "rtsep" / "presets" / "my chorus.toml"
    given = ("--threshold", ".4", "--vocals-gain", "-inf", "--bypass", "--mask", "binary")
    saved = rtsep_here("presets", "save", "my chorus", "--program", 5, *given, **home)
    assert saved.code == 0, saved.said
    text = 'program = 5\nthreshold = 0.4\nmask = "binary"\nvocals_gain = -inf\nbypass = true\n'
    assert file.read_text() == text
    assert "".join(saved.out).replace("\n", "") == (
        f"saved 'my chorus' to {file}: threshold 0.4, mask \"binary\", vocals_gain -inf, bypass true"
    )
    shown = rtsep_here("presets", "show", "my chorus", **home)
    assert shown.out == [f"# {file}", *text.splitlines()]

    assert_refused(
        rtsep_here("presets", "save", "my chorus", "--gate", 0.1, **home), 2, "already", "--replace"
    )
    assert rtsep_here("presets", "save", "my chorus", "--gate", 0.1, "--replace", **home).code == 0
    file.with_name("broken.toml").write_text("\ntreshold = 0.4")

    (line,) = rtsep_here("presets", "--json", **home).json
    assert line["folder"] == str(file.parent)
    assert line["presets"] == [{"name": "my chorus", "program": 5, "controls": {"gate": 0.1}}]
    assert len(line["broken"]) == 1
    assert "broken.toml, line 2: no control is called 'treshold'" in line["broken"][0]
    table = "\n".join(rtsep_here("presets", **home).out)
    assert "my chorus" in table
    assert "gate 0.1" in table
    assert "broken: " in table

    assert rtsep_here("presets", "delete", "my chorus", **home).code == 0
    assert not file.exists()


@pytest.fixture
def stage():
    """A session called `stage` that answers one request for its state, on the real socket."""
    controls = Controls(threshold=0.4, vocals_mute=1)
    values = {name: Value(value, "", controls.moved_by(name)) for name, value in controls.snapshot().items()}
    state = State("stage", "playing", "", "", "", "", "", values, [], 0.0, {}, id=1)
    held = claim("stage")

    def serve() -> None:
        while True:
            peer, _ = held.socket.accept()
            with peer, peer.makefile("rb") as requests, contextlib.suppress(OSError):
                peer.sendall(encode(Hello("stage", "rtsep")).encode())
                if line := requests.readline():
                    assert json.loads(line)["kind"] == "get"
                    peer.sendall(encode(state).encode())
                    return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield controls
    held.close()


@pytest.mark.skipif(not supported(), reason="no Unix sockets")
def test_the_running_session_is_saved_not_the_one_that_ended_last(home, tmp_path, stage):
    last = tmp_path / "state" / "rtsep" / "last.toml"
    last.parent.mkdir(parents=True)
    last.write_text("threshold = 0.1\n")
    folder = tmp_path / "config" / "rtsep" / "presets"
    assert rtsep_here("presets", "save", "default", "--session", "default", **home).code == 0
    assert Presets(folder).load("default").values == {"threshold": 0.1}  # it does not play: its last state
    saved = rtsep_here("presets", "save", "as it is", "--program", 3, **home)
    assert saved.code == 0, saved.said
    found = Presets(folder).load("as it is")
    assert found.values == stage.chosen() and found.program == 3
    assert_refused(rtsep_here("presets", "save", "x", "--session", "new", **home), 2, "no session 'new'")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("presets", "save", "a/b", "--gate", 0.1), ("preset 'a/b': a name consists of",)),
        (("presets", "save", "x", "--gate", 2), ("--gate 2: out of range",)),
        (("presets", "save", "x", "--gate", 0.1, "--program", 128), ("128 is out of range", "0 to 127")),
        (("presets", "save", "x"), ("no session has played here yet", "--threshold 0.4")),
        (("presets", "show", "x"), ("no preset is called 'x'; there is none yet", "presets save")),
        (("presets", "delete", "x"), ("no preset is called 'x'",)),
        (("presets", "recall", "x"), ("recall", "save")),
        (("live", "--in", "demo", "--preset", "x"), ("no preset is called 'x'",)),
        (("live", "--in", "demo", "--preset", "../x"), ("a name consists of",)),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(home, arguments, words):
    assert_refused(rtsep_here(*arguments, **home), 2, *words)


def test_a_name_from_a_mac_is_the_same_name(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    presets = Presets(tmp_path)
    (tmp_path / f"{decomposed}.toml").write_text("gate = 0.1")
    assert presets.names() == [composed]
    assert [preset.name for preset in presets.load_all()[0]] == [composed]
    for name in (composed, decomposed):
        assert presets.load(name) == Preset(composed, {"gate": 0.1})
    with pytest.raises(UsageError, match="already"):
        presets.save(Preset(composed, {"gate": 0.2}))
    presets.delete(composed)
    assert presets.names() == []
