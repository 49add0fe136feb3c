"""A message about a fault gives the true cause and the remedy."""

from __future__ import annotations

import pytest

from rtsep.model.catalog import find_model
from rtsep.model.package import read_package
from rtsep.session import advice as module
from rtsep.session.advice import MIN_COUNTS, Adviser, Conditions, advice

NONE = dict.fromkeys(MIN_COUNTS, 0)


def conditions(model="studio", block=256, server_decides=False, real_time=True):
    return Conditions(read_package(find_model(model)).spec, block, 128, server_decides, real_time)


@pytest.mark.parametrize(
    ("faults", "how", "words"),
    [
        ({"late_masks": 20}, {}, "20 masks came late: try --block 512 or the model 'light'"),
        ({"late_masks": 1}, {"model": "light"}, "1 mask came late: try --block 512"),
        ({"late_masks": 1}, {"model": "live"}, "1 mask came late: try --block 512 or the model 'light'"),
        (
            {"late_masks": 2},
            {"server_decides": True},
            "2 masks came late: try a period (quantum) of 512 on the sound server or the model 'light'",
        ),
        ({"late_masks": 2}, {"model": "light", "block": 8192}, "2 masks came late: try --slack 8320"),
        ({"underruns": 3}, {}, "the output had gaps (3 underruns): try --slack 384 or --block 512"),
        (
            {"underruns": 1},
            {"real_time": False},
            "the output had gaps (1 underrun): try --slack 384 or --block 512; rtsep has no real-time "
            "priority: 'rtsep doctor' shows how to get it",
        ),
        ({"device_xruns": 1}, {}, "the sound system lost audio (1 time): try --block 512"),
        (
            {"device_xruns": 2},
            {"block": 8192},
            "the sound system lost audio (2 times): run 'rtsep doctor' to find the cause on this machine",
        ),
    ],
)
def test_each_fault_says_what_to_do(faults, how, words):
    assert list(advice(NONE | faults, conditions(**how))) == [words]


def test_every_fault_has_a_line_and_a_clean_session_none():
    assert list(advice(NONE, conditions())) == []
    assert len(list(advice(dict.fromkeys(MIN_COUNTS, 1), conditions()))) == len(MIN_COUNTS)


def test_while_it_plays_many_faults_in_a_window_are_told_once_for_each_cause():
    adviser, here = Adviser(), conditions()
    assert not adviser.due()
    assert adviser.look(NONE | {"late_masks": 500, "underruns": 50}, here) == []  # of the start
    assert adviser.look(NONE | {"late_masks": 519, "underruns": 54}, here) == []
    (line,) = adviser.look(NONE | {"late_masks": 540, "underruns": 54}, here)
    assert line.startswith("21 masks came late")
    (line,) = adviser.look(NONE | {"late_masks": 900, "underruns": 60}, here)
    assert line.startswith("the output had gaps (6 underruns)")
    assert adviser.look(NONE | {"late_masks": 2_000, "underruns": 600}, here) == []


def test_a_window_is_over_after_its_time(monkeypatch):
    monkeypatch.setattr(module, "WINDOW_S", 0.0)
    assert Adviser().due()
