"""`rtsep doctor`: its report, for people and for programs, and its exit code."""

from __future__ import annotations

import pytest

from rtsep.cli import doctor
from rtsep.cli.main import main
from rtsep.doctor.finding import note, ok, problem
from tests.cli.program import rtsep


def test_it_looks_at_this_machine(tmp_path):
    outcome = rtsep("doctor", "--json", XDG_RUNTIME_DIR=str(tmp_path))
    (line,) = outcome.json
    names = {check["name"] for check in line["checks"]}
    assert {"cache folder", "config folder", "sound devices", "MIDI"} <= names
    todo = [check for check in line["checks"] if check["state"] == "problem"]
    assert line["ok"] == (not todo)
    assert outcome.code == (1 if todo else 0)
    assert all(check["remedy"] for check in todo)
    assert outcome.said == []


def test_a_check_that_fails_is_a_finding_and_the_others_still_run(monkeypatch):
    def fails():
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(doctor.confined, "rights", fails)
    monkeypatch.setattr(doctor.sound, "default_devices", lambda *_: [ok("sound devices", "seen")])
    found = {each.name: each for each in doctor.examine()}
    assert found["rights of a model"].state == "problem"
    assert "Input/output error" in found["rights of a model"].seen
    assert found["sound devices"].state == "ok" and "MIDI" in found


@pytest.mark.parametrize(
    ("findings", "code", "last"),
    [
        ([ok("one", "seen")], 0, "no problems found"),
        ([ok("one", "seen"), note("two", "seen", "may be done")], 0, "no problems found"),
        (
            [note("two", "seen", "may be done"), problem("three", "[red]bad", "do it")],
            1,
            "problems to fix: 1",
        ),
    ],
)
def test_the_exit_code_says_whether_something_needs_doing(capfd, monkeypatch, findings, code, last):
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    assert main(["doctor"]) == code
    out = capfd.readouterr().out
    assert out.splitlines()[-1] == last
    for finding in findings:
        assert finding.seen in out
        assert finding.remedy in out
