"""Without python-rtmidi everything else works, and one line of MIDI names the missing package."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtsep.errors import DeviceError
from tests.cli.program import ROOT, Outcome, assert_refused, rtsep

WHAT = "pip install 'rtsep[midi]'"


@pytest.fixture(scope="module")
def without(tmp_path_factory) -> str:
    """Return a path for Python under which no program finds rtmidi."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['rtmidi'] = None\n")
    return f"{folder}:{ROOT}"


def run(without: str, *words: object) -> Outcome:
    return rtsep(*words, PYTHONPATH=without)


def test_live_plays_without_controllers_and_says_so_once(without):
    outcome = run(without, "live", "--in", "demo", "--out-device", "virtual", "--seconds", "1", "--json",
                  "--midi", "pad")  # fmt: skip
    assert outcome.code == 0
    assert outcome.json[-1]["hops"] > 0
    assert outcome.json[-1]["midi"]["ports"] == []
    (line,) = [line for line in outcome.said if "MIDI" in line]
    assert WHAT in line
    assert "playing without controllers" in line


@pytest.mark.parametrize("words", [("monitor", "--seconds", "5"), ("learn", "threshold", "--seconds", "5")])
def test_what_is_about_controllers_is_refused(without, words):
    assert_refused(run(without, "midi", *words), DeviceError.exit_code, "python-rtmidi", WHAT)


def test_the_map_is_shown_and_devices_are_listed(without):
    for words in (("midi", "show"), ("devices",)):
        outcome = run(without, *words)
        assert outcome.code == 0
        assert outcome.said == []
        assert WHAT in "\n".join(outcome.out)
    (line,) = run(without, "devices", "--json").json
    assert line["midi"] == []


def test_the_doctor_notes_it(without):
    (line,) = run(without, "doctor", "--json").json
    (check,) = [check for check in line["checks"] if check["name"] == "MIDI"]
    assert (check["state"], check["remedy"]) == ("note", WHAT)


def test_the_project_installs_it_where_it_has_wheels_and_as_an_extra():
    import tomllib

    project = tomllib.loads((Path(ROOT) / "pyproject.toml").read_text())["project"]
    (required,) = [each for each in project["dependencies"] if each.startswith("python-rtmidi")]
    name, marker = (part.strip() for part in required.split(";"))
    assert marker == "python_version < '3.13'"
    assert project["optional-dependencies"]["midi"] == [name]
