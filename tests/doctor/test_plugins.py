"""The probe of the LV2 plugin, on bundles that are made up but for their library."""

from __future__ import annotations

import sys
from importlib.metadata import version

import pytest

from rtsep.doctor.plugins import plugin
from rtsep.plugin import bundle
from rtsep.plugin.layout import PROTOCOL
from rtsep.realtime.child_process import command_of

HERE = version("rtsep")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A bundle that fits, as far as this can be tested without a compiler."""
    monkeypatch.setattr(bundle, "library_fault", lambda _: "")
    folder = tmp_path / "rtsep.lv2"
    folder.mkdir()
    (folder / "version").write_text(f"{HERE} {PROTOCOL}\n")
    (folder / "engine").write_text("\n".join(command_of("rtsep.cli.main")))
    rows = ((package.path.stem, package.sha256) for package in bundle.packages())
    (folder / "models").write_text("".join(f"{name}\t{sha256}\t48000\t1\t1\n" for name, sha256 in rows))
    return folder


def test_without_a_plugin_there_is_nothing_to_say():
    assert plugin([]) == []


def test_a_plugin_that_fits(made, tmp_path):
    (found,) = plugin([made, tmp_path / "older" / "rtsep.lv2"])
    assert found.state == "ok"
    assert f"{made}, version {HERE}, and its engine, {HERE}; it hides" in found.seen


@pytest.mark.parametrize(
    ("file", "text", "seen"),
    [
        ("version", "0.0.9 1\n", "it is of version 0.0.9, rtsep here is"),
        ("version", f"{HERE} {PROTOCOL + 1}\n", "another protocol"),
        ("engine", f"{sys.executable}\n-c\nprint('rtsep 0.0.8')\n", "its engine is version 0.0.8"),
        ("engine", "/nowhere/python\n", "cannot be started"),
        ("models", "", "it has no preset for live"),
    ],
)
def test_what_does_not_fit_is_said(made, file, text, seen):
    (made / file).write_text(text)
    (found,) = plugin([made])
    assert (found.state, found.remedy) == ("problem", "run 'rtsep plugin install'")
    assert seen in found.seen


def test_a_library_that_does_not_load_is_said(tmp_path):
    (tmp_path / "rtsep.so").write_text("no library")
    (found,) = plugin([tmp_path])
    assert "rtsep.so cannot be loaded" in found.seen
