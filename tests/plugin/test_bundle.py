"""`rtsep plugin install|check|remove`, and what hosts read of the bundle."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from rtsep.cli.main import main
from rtsep.errors import ModelError, OutputError, UsageError
from rtsep.model import catalog
from rtsep.plugin import bundle, layout, ttl
from tests.plugin.conftest import needs_a_compiler


@pytest.fixture
def cheap(monkeypatch, binary):
    """One model, one rate, and a binary that is compiled already: the rest is what takes its time."""
    packages = bundle.packages()
    monkeypatch.setattr(bundle, "packages", lambda *_: packages[:1])
    monkeypatch.setattr(bundle, "RATES", (44100,))
    monkeypatch.setattr(bundle, "compile_plugin", lambda target, flags=(): shutil.copy(binary, target))


@needs_a_compiler
def test_install_check_remove(cheap, tmp_path, capsys):
    folder = tmp_path / "home" / "lv2"
    where = ("--folder", str(folder))
    assert main(["plugin", "check", *where]) == OutputError.exit_code
    assert "run 'rtsep plugin install'" in capsys.readouterr().err

    for _ in range(2):  # over an older one, too
        assert main(["plugin", "install", *where]) == 0
        assert capsys.readouterr().out == f"installed {folder / 'rtsep.lv2'}\n"
    assert [path.name for path in folder.iterdir()] == ["rtsep.lv2"]
    assert main(["plugin", "check", *where]) == 0
    assert "matches" in capsys.readouterr().out
    validate = shutil.which("lv2_validate")
    if validate and shutil.which("sord_validate"):  # the script calls this program
        files = sorted(map(str, (folder / "rtsep.lv2").glob("*.ttl")))
        done = subprocess.run([validate, *files], capture_output=True, text=True)
        assert "Found 0 errors" in done.stdout, done.stdout + done.stderr

    (folder / "rtsep.lv2" / "version").write_text(f"0.0.1 {layout.PROTOCOL}\n")
    assert main(["plugin", "check", *where]) == OutputError.exit_code
    assert "it is of version 0.0.1" in capsys.readouterr().err

    assert main(["plugin", "remove", *where]) == 0
    assert main(["plugin", "remove", *where]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("nothing to remove")
    assert list(folder.iterdir()) == []


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, capsys):
    other = tmp_path / "rtsep.lv2"
    other.mkdir()
    (other / "mine").write_text("")
    for what in ("install", "remove"):
        assert main(["plugin", what, "--folder", str(tmp_path)]) == OutputError.exit_code
        assert "move it away first" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["mine"]


@needs_a_compiler
def test_a_new_instance_plays_the_chosen_model(tmp_path, monkeypatch, binary, capsys):
    monkeypatch.setattr(bundle, "RATES", (44100,))
    monkeypatch.setattr(bundle, "model_lines", lambda of: "".join(f"{p.path.stem}\n" for p in of))
    monkeypatch.setattr(bundle, "compile_plugin", lambda target, flags=(): shutil.copy(binary, target))
    where = ("--folder", str(tmp_path))
    for model, first in (((), "live"), (("--model", "light"), "light"), (("--model", "stage"), "stage")):
        assert main(["plugin", "install", *where, *model]) == 0
        lines = (tmp_path / "rtsep.lv2" / "models").read_text().splitlines()
        assert lines[0] == first and sorted(lines) == sorted(p.path.stem for p in bundle.packages())

    capsys.readouterr()
    assert main(["plugin", "install", *where, "--model", "ligth"]) == ModelError.exit_code
    assert "did you mean 'light'" in capsys.readouterr().err
    own = shutil.copy(catalog.shipped_folder() / "light.pt", tmp_path / "own.pt")
    assert main(["plugin", "install", *where, "--model", str(own)]) == ModelError.exit_code
    assert str(catalog.user_folder()) in capsys.readouterr().err
    assert (tmp_path / "rtsep.lv2" / "models").read_text().startswith("stage"), "the old one is kept"


def test_without_a_compiler_the_remedy_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert main(["plugin", "install", "--folder", str(tmp_path)]) == OutputError.exit_code
    assert "apt-get install gcc libc6-dev lv2-dev" in capsys.readouterr().err


def test_the_engine_is_refused_to_a_user(tmp_path, capsys):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert main(["plugin-host", "--memory", str(descriptor)]) == UsageError.exit_code
    finally:
        os.close(descriptor)
    assert "the plugin starts this command, not a user" in capsys.readouterr().err


def test_texts_of_models_cannot_break_what_hosts_read():
    model = ttl.Model('a "quoted"\\ name\nof two lines', "ab" * 32, "")
    assert '"Model a \\"quoted\\"\\\\ name of two lines"' in ttl.presets_ttl([model])


@needs_a_compiler
def test_a_plugin_that_the_wheel_carries_is_taken_where_it_loads(tmp_path, binary, monkeypatch):
    carried = tmp_path / "package" / "assets" / "plugin" / ttl.BINARY
    carried.parent.mkdir(parents=True)
    monkeypatch.setattr(bundle.resources, "files", lambda name: tmp_path / "package")
    assert bundle.built_plugin() is None
    carried.write_bytes(b"of another machine")
    assert bundle.built_plugin() is None
    carried.unlink()
    shutil.copy(binary, carried)
    assert bundle.built_plugin() == carried

    monkeypatch.setattr(bundle, "packages", lambda *_: [])
    monkeypatch.setenv("CC", "/nowhere/cc")
    made = tmp_path / "made"
    made.mkdir()
    bundle.write_bundle(made, ("rtsep",))
    assert (made / ttl.BINARY).read_bytes() == carried.read_bytes()
